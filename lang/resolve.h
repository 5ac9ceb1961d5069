/* What the passes of the resolver share: the run, modules, frames and scopes, the merged bodies.
 *
 * module.c   files and their top-level names
 * node.c     bodies merged along `amends`, keys bound, late
 * eval.c     expressions to values
 * call.c     arguments against a signature
 * place.c    placements to sets of blocks
 * expand.c   blocks and lists to layers
 * moe.c      experts
 * fit.c      what must fit together
 * check.c    checks
 * resolve.c  the order of all this */
#ifndef LANG_RESOLVE_H
#define LANG_RESOLVE_H

#include "lang/ast.h"
#include "lang/base/diag.h"
#include "lang/base/text.h"
#include "lang/keys.h"
#include "lang/lang.h"
#include "lang/limits.h"

struct arena;

/* ---- a run ---- */

struct op_row {
    const struct lang_op *op;
    struct param *params;
    size_t nparams;
};

struct run {
    struct arena *arena;
    struct diag *diag;
    const struct lang_options *options;
    struct keys *keys;
    struct op_row *ops;
    struct map op_names; /* to struct op_row */
    struct module *main;
    struct module **modules;
    size_t nmodules, modules_cap;
    unsigned steps, layers, depth;  /* counted against limits.h */
    bool stop;                      /* a limit was passed: unwind */
    const struct lang_facts *facts; /* for checks; NULL: not known yet */
};

/* Count one step of work. False, once reported, when the file asks for too much. */
bool run_step(struct run *r, unsigned cost, struct loc loc);

/* ---- modules ---- */

enum state { STATE_FRESH, STATE_BUSY, STATE_DONE, STATE_FAILED };

struct file_param {
    const struct param *param;
    struct expr *given;
    enum state state;
    struct spec_value value;
};

struct module {
    const char *name, *path; /* as used; as opened */
    const struct ast *ast;
    struct map uses;               /* name to struct module */
    struct map decls, experiments; /* name to struct decl */
    struct map params;             /* name to struct file_param */
    enum state state;
};

struct decl {
    const struct item *item;
    struct module *module;
    enum state state;
};

bool module_load_main(struct run *r, const struct ast *ast);
void module_list(struct run *r, const struct ast *ast); /* what it uses: paths, no more */
const char *const *module_paths(struct run *r, size_t *n);

/* A dotted name from inside a module: what it stands for, if it is of one of the kinds ("model",
 * "block", ...; NULL: any). Reports and returns NULL otherwise. */
struct decl *module_find(struct run *r, struct module *m, const struct words *w, const char *kind);
struct decl *module_look(struct module *m,
                         const struct words *w); /* the same, silent, of any kind */
const char *module_kind(const struct decl *d);
void module_suggest(struct module *m, const char *kind, struct suggest *s);

/* ---- scopes ---- */

/* Values by name: parameters (`$x`) and the words that a block sees (`dim`, `position`, ...). */
struct entry {
    const char *name;
    struct spec_value value;
    bool word;
};
struct frame {
    struct entry *at;
    size_t n, cap;
};
const struct spec_value *frame_find(const struct frame *f, const char *name, bool word);
/* The parameters of one frame with the words of another: what a list sees that is expanded away
 * from where it stands. */
struct frame *frame_join(struct run *r, const struct frame *params, const struct frame *words);
void frame_add(struct run *r, struct frame *f, const char *name, struct spec_value value,
               bool word);

struct scope {
    struct module *module;     /* its names and `$params`; NULL inside our own signatures */
    const struct frame *frame; /* or NULL */
    struct node *node;         /* innermost enclosing body, whose keys are visible; or NULL */
    const char *skip;          /* the key whose right side this is: it starts one level out */
    bool facts;                /* params.total and such are visible */
};

/* ---- merged bodies ---- */

struct patch {
    const char *name;
    struct expr *value;
    struct scope scope;
    struct loc loc;
};

struct bind {
    struct key_row *row;
    struct expr *expr; /* NULL: the default */
    struct scope scope;
    struct loc loc;        /* of the key */
    struct patch *patches; /* `optim.lr = 1e-3` */
    size_t npatches, patches_cap;
    enum state state;
    struct spec_value value;
};

struct node_check {
    const struct item *item;
    struct scope scope;
};

struct amended {
    const struct body *list;
    struct scope scope;
    const struct amended *before;
};

struct node {
    const char *body, *kind, *name; /* the sort of body (keys.def), as written, its name or "" */
    struct loc loc;
    struct node *parent;
    struct bind *binds;
    size_t nbinds, binds_cap;
    struct node **kids;
    size_t nkids, kids_cap;
    const struct body *list; /* layers or calls, if the body holds such */
    struct scope list_scope;
    const struct amended *before; /* `augment`: the lists that `list` changes, the nearest first */
    const struct words *link;     /* `stage s2 amends s1` */
    bool linked;
    enum state state;
    struct node_check *checks;
    size_t nchecks, checks_cap;
};

struct node *node_new(struct run *r, struct node *parent, const char *body, const char *kind,
                      const char *name, struct loc loc);
/* Lay a declaration, with all that it amends, over a node. own: its checks count. */
bool node_apply_decl(struct run *r, struct node *n, struct decl *d, const struct frame *frame,
                     bool own);
/* Lay a body over a node: a `moe` that is written out among layers. */
bool node_apply_body(struct run *r, struct node *n, const struct body *b, struct scope scope);
/* One `path = value` (a --set). */
void node_set(struct run *r, struct node *n, const struct words *path, struct expr *value,
              struct scope scope);
/* `stage s2 amends s1`: copy what s2 does not set. Once everything is applied. */
void node_link_stages(struct run *r, struct node *model);
struct node *node_kid(const struct node *n, const char *kind); /* the first; NULL */
struct bind *node_bind(const struct node *n, const char *key); /* NULL: not set */
/* Where a key's value is written, else the body. */
struct loc node_loc(const struct node *n, const char *key);

/* A key's value, evaluated once, of the key's type; SPEC_NONE if it is absent. False: reported. */
bool node_value(struct run *r, struct node *n, const char *key, struct spec_value *out);
/* A key of a layer-like type: its expression and scope, or NULL. */
const struct bind *node_layer(struct run *r, struct node *n, const char *key);
int64_t node_int(struct run *r, struct node *n, const char *key); /* 0 if absent or reported */
double node_number(struct run *r, struct node *n, const char *key);
const char *node_text(struct run *r, struct node *n, const char *key); /* NULL if absent */

/* ---- expressions ---- */

/* type: a type's name or NULL for any. what: the key or argument, for messages. */
bool eval(struct run *r, const struct scope *s, const struct expr *e, const char *type,
          bool optional, const char *what, struct spec_value *out);
bool eval_param(struct run *r, struct module *m, const char *name, struct loc loc,
                struct spec_value *out);
bool eval_constraint(struct run *r, const struct param *p, const struct spec_value *v,
                     const struct frame *frame, struct module *module, enum diag_code code);
/* That a value is not as a `where` wants it. name: as the user knows it. */
void report_constraint(struct run *r, const char *name, const struct spec_value *v,
                       const struct expr *where, enum diag_code code);
const char *value_print(struct run *r, const struct spec_value *v); /* as a literal */
bool value_equal(const struct spec_value *a, const struct spec_value *b);
struct spec_value value_int(int64_t i);
struct spec_value value_float(double f);
struct spec_value value_bool(bool b);
struct spec_value value_text(const char *text);
bool value_convert(struct run *r, struct spec_value *v, const char *type, bool optional,
                   const char *what, struct loc loc);

/* A value typed on the command line stands in place of another. */
void expr_replace(struct run *r, const struct expr *old, const struct expr *typed);

/* The number behind params.total and such. False: no such fact. */
bool fact_find(const struct lang_facts *f, const char *name, double *value);
void fact_suggest(struct suggest *s);

/* ---- calls ---- */

/* Arguments of a call (NULL: none given) against a signature, into a frame that may hold words
 * already. */
struct callee {
    const char *name;
    const struct param *params;
    size_t nparams;
    struct module *module; /* where its defaults are evaluated */
};
bool call_bind(struct run *r, const struct callee *c, const struct expr *call,
               const struct scope *caller, const struct patch *patches, size_t npatches,
               struct frame *frame);
/* A call or name of one of a type's variants, to a SPEC_CALL. */
bool call_variant(struct run *r, const struct scope *s, const struct expr *e, const char *type,
                  const struct patch *patches, size_t npatches, struct spec_value *out);

/* ---- placement ---- */

struct network {
    size_t nstages, nblocks;
    struct net_stage {
        const char *name;
        size_t first, depth;
    } stages[LIMIT_STAGES];
};
/* Mark the selected blocks in set[nblocks]. *off: the rule says `none`. */
bool place_eval(struct run *r, const struct network *net, const struct scope *s,
                const struct expr *e, bool *set, bool *off);
const char *place_print(struct run *r, const struct network *net, const bool *set);

/* ---- layers ---- */

/* What an expansion goes through: the words of the part, and the experts to put into a slot. */
struct expand {
    const struct frame *words; /* dim, position, experts, top_k */
    struct node **moes;        /* rules that selected this block */
    size_t nmoes;
    const struct item **placed; /* of each rule: its slot, once it was found */
    struct map slots;           /* seen: name to struct slot_seen */
    size_t nslots;
    struct node *expert_of; /* inside an expert: the rule */
    struct loc expert_loc;
};
struct spec_layer *expand_body(struct run *r, struct expand *x, const struct scope *s,
                               const struct body *b, const char *label);
/* A layer given as a value: `block = my_block(heads: 6)`, `expert = gelu`. A LAYER_SEQ with the
 * label. */
struct spec_layer *expand_value(struct run *r, struct expand *x, const struct bind *b,
                                const char *label);
struct spec_layer *layer_new(struct run *r, enum spec_layer_kind kind, const char *label,
                             struct loc loc);

/* moe.c: a slot's experts. slot: the item, whose content is the expert unless the rule says
 * otherwise. */
struct spec_layer *moe_layer(struct run *r, struct expand *x, struct node *moe,
                             const struct scope *s, const struct item *slot, const char *label);
/* A `moe LABEL { }` written out among layers. */
struct spec_layer *moe_written(struct run *r, struct expand *x, const struct scope *s,
                               const struct item *i);
/* The content of a slot without experts. */
struct spec_layer *expand_slot(struct run *r, struct expand *x, const struct scope *s,
                               const struct item *slot, const char *label);

/* ---- checks ---- */

struct spec_checks;
struct spec_checks *checks_new(struct run *r);
void checks_add(struct run *r, struct spec_checks *c, const struct node *n);
void checks_print(const struct spec_checks *c, FILE *out);

/* spec.c: fill in the hash. */
void spec_hash(struct spec *s, struct arena *a);

/* experiment.c: the keys of the experiment, flattened, and its groups. */
bool experiment_export(struct run *r, struct node *experiment, struct spec *spec);
/* fit.c: keys that only make sense together. */
void fit_check(struct run *r, const struct spec *spec);
/* model.c: a merged model to its parts. */
bool model_build(struct run *r, struct node *model, struct spec_model *out);

#endif
