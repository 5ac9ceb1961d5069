/* The words of the language, from keys.def: which bodies hold which bodies and keys, and which
 * calls are values. */
#ifndef LANG_KEYS_H
#define LANG_KEYS_H

#include "lang/ast.h"

struct arena;
struct diag;
struct suggest;

enum key_when { KEY_X, KEY_S, KEY_R };
enum body_form { BODY_ONE, BODY_NAMED, BODY_MANY };

struct body_row {
    const char *parent, *kind, *body;
    enum body_form form;
};
struct key_row {
    const char *body, *signature;
    enum key_when when;
    const char *flag, *help;
    struct param *param;     /* the signature, parsed */
    struct spec_range range; /* its `where` */
};
struct variant_row {
    const char *type, *name, *signature;
    struct param *params;
    size_t nparams;
};

struct keys {
    struct key_row *keys;
    size_t nkeys;
    struct key_row *values; /* whose `body` is the path before the name: "train.optim" */
    size_t nvalues;
    struct variant_row *variants;
    size_t nvariants;
};

/* Parse the signatures. They are ours: a mistake in one is a broken compiler and ends the process
 * with status 3. */
struct keys *keys_new(struct arena *a);
void keys_signature(struct arena *a, const char *text, struct param **params, size_t *n);

const struct body_row *keys_body(const char *parent, const char *kind); /* NULL: no such body */
struct key_row *keys_find(const struct keys *k, const char *body,
                          const char *name); /* NULL: no such key */
const struct key_row *keys_value(const struct keys *k, const char *body, const char *name);
const struct variant_row *keys_variant(const struct keys *k, const char *type, const char *name);
const char *keys_words(const char *type); /* NULL: no type of words */
bool keys_in_range(const struct spec_range *range, double value);
const char *keys_parent_of_kind(
    const char *kind); /* a body that has such a body: for messages; or NULL */

void keys_suggest(const struct keys *k, const char *body, struct suggest *s);
const char *keys_list(struct arena *a, const struct keys *k,
                      const char *body); /* "at, block, ..." */
const char *keys_list_variants(struct arena *a, const struct keys *k, const char *type);

#endif
