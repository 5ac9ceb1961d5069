/* The command line: see options.h. The flags of commands are rows of one table; those of keys come from the program. */
#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/program/options.h"

enum flag_type { SWITCH, WHOLE, NUMBER, TEXT };

static const struct flag {
    const char *name;
    enum flag_type type;
    unsigned commands;
    size_t offset;                      /* of its field in struct vrt_options */
    double min, max;
    const char *argument, *help;
} flags[] = {
    { "out", TEXT, VRT_TRAIN | VRT_REPORT, offsetof(struct vrt_options, out), 0, 0, "FOLDER", "the run folder (default runs/NAME)" },
    { "resume", SWITCH, VRT_TRAIN, offsetof(struct vrt_options, resume), 0, 0, NULL,
      "go on with the run in --out; before any state exists it starts afresh" },
    { "dry-run", SWITCH, VRT_TRAIN, offsetof(struct vrt_options, dry_run), 0, 0, NULL,
      "a few steps of everything, then the time and memory that the training will take; nothing is kept" },
    { "save-every", WHOLE, VRT_TRAIN, offsetof(struct vrt_options, save_every), 1, 1e12, "STEPS",
      "save the state that often (default: about every two minutes, and after each epoch)" },
    { "weights", TEXT, VRT_TRAIN | VRT_EVAL | VRT_PREDICT | VRT_BENCH, offsetof(struct vrt_options, weights), 0, 0, "FILE",
      "weights to start from or to use (.safetensors)" },
    { "upcycle", SWITCH, VRT_TRAIN | VRT_EVAL | VRT_PREDICT, offsetof(struct vrt_options, upcycle), 0, 0, NULL,
      "make experts of the dense layers in --weights, one copy each" },
    { "upcycle-noise", NUMBER, VRT_TRAIN | VRT_EVAL | VRT_PREDICT, offsetof(struct vrt_options, upcycle_noise), 0, 100, "S",
      "add noise to the copies, of S standard deviations (default 0)" },
    { "keep-experts", TEXT, VRT_TRAIN | VRT_EVAL | VRT_PREDICT, offsetof(struct vrt_options, keep_experts), 0, 0, "LIST",
      "the experts to take where --weights has more: 0,2,5, or LAYER=0,2;LAYER=1,3" },
    { "split", TEXT, VRT_EVAL | VRT_PREDICT, offsetof(struct vrt_options, split), 0, 0, "NAME", "train, val or test (default: data.val)" },
    { "split", TEXT, VRT_CHECK_DATA, offsetof(struct vrt_options, split), 0, 0, "NAME", "one split only (default: train and val)" },
    { "per-class", TEXT, VRT_EVAL, offsetof(struct vrt_options, per_class), 0, 0, "FILE.csv", "write the hits of each class" },
    { "confusion", TEXT, VRT_EVAL, offsetof(struct vrt_options, confusion), 0, 0, "FILE.csv",
      "write how often which class was taken for which" },
    { "class-map", TEXT, VRT_EVAL, offsetof(struct vrt_options, class_map), 0, 0, "FILE",
      "lines with the output of each class of the data, or with the name of each output" },
    { "mask-classes", SWITCH, VRT_EVAL, offsetof(struct vrt_options, mask_classes), 0, 0, NULL,
      "score over the data's classes alone (default: where they are a part, and the folder a set of its own)" },
    { "all-classes", SWITCH, VRT_EVAL, offsetof(struct vrt_options, all_classes), 0, 0, NULL, "always score over all classes" },
    { "real", TEXT, VRT_EVAL, offsetof(struct vrt_options, real), 0, 0, "FILE.json",
      "count by the ReaL labels of ImageNet's validation pictures, too" },
    { "experts", TEXT, VRT_EVAL, offsetof(struct vrt_options, experts), 0, 0, "FILE.csv", "write what each expert got of each class" },
    { "similarity", TEXT, VRT_EVAL, offsetof(struct vrt_options, similarity), 0, 0, "FILE.csv",
      "write how alike the pictures of the experts are" },
    { "top", WHOLE, VRT_PREDICT, offsetof(struct vrt_options, top), 1, 1e6, "N", "classes per picture (default 5)" },
    { "logits", SWITCH, VRT_PREDICT, offsetof(struct vrt_options, logits), 0, 0, NULL, "all logits as well" },
    { "features", SWITCH, VRT_PREDICT, offsetof(struct vrt_options, features), 0, 0, NULL,
      "the input of the last layer as well" },
    { "batch", WHOLE, VRT_BENCH, offsetof(struct vrt_options, batch), 1, 1e9, "IMAGES",
      "pictures per call (default: as many as the program holds)" },
    { "train", SWITCH, VRT_BENCH, offsetof(struct vrt_options, train), 0, 0, NULL, "measure training steps" },
    { "seconds", NUMBER, VRT_BENCH, offsetof(struct vrt_options, seconds), 0.01, 1e6, "S", "how long to measure (default 3)" },
    { "threads", WHOLE, VRT_ALL & ~(VRT_INFO | VRT_REPORT), offsetof(struct vrt_options, threads), 1, 1024, "N",
      "threads (default: all processors); results do not depend on it" },
    { "json", SWITCH, VRT_ALL, offsetof(struct vrt_options, json), 0, 0, NULL, "results as JSON" },
    { "help", SWITCH, VRT_ALL, offsetof(struct vrt_options, help), 0, 0, NULL, "this text" },
};
enum { NFLAGS = sizeof flags / sizeof *flags };

/* Which commands offer the flags of keys: the first row whose path begins the key's. */
static const struct { const char *path; unsigned commands; } key_commands[] = {
    { "data.train", VRT_TRAIN | VRT_CHECK_DATA }, { "data.bad", VRT_TRAIN },
    { "data.holdout", VRT_TRAIN | VRT_EVAL | VRT_PREDICT | VRT_CHECK_DATA },
    { "data.", VRT_TRAIN | VRT_EVAL | VRT_PREDICT | VRT_CHECK_DATA | VRT_BENCH },
    { "train.seed", VRT_TRAIN | VRT_BENCH | VRT_GRADCHECK },
    { "", VRT_TRAIN },
};
static const unsigned set_commands = VRT_TRAIN | VRT_EVAL | VRT_BENCH;

/* Things of the network that people look for among the flags. */
static const char *const static_words[] = {
    "experts", "top_k", "capacity", "group", "router", "expert", "classes", "dim", "depth", "heads", "width", "height",
    "image_size", "img_size", "channels", "model", "patch", "at", "placement", "dropout",
};

static const struct { const char *name; int32_t unit; } units[] = {
    { "epochs", VRT_UNIT_EPOCHS }, { "epoch", VRT_UNIT_EPOCHS }, { "steps", VRT_UNIT_STEPS }, { "step", VRT_UNIT_STEPS },
    { "images", VRT_UNIT_IMAGES }, { "image", VRT_UNIT_IMAGES }, { "px", VRT_UNIT_PX }, { "bytes", VRT_UNIT_BYTES },
};
enum { NUNITS = sizeof units / sizeof *units };

static const struct flag *find_flag(const char *name, unsigned commands)
{
    for (int i = 0; i < NFLAGS; i++)
        if (flags[i].commands & commands && strcmp(flags[i].name, name) == 0)
            return &flags[i];
    return NULL;
}

static unsigned commands_of_key(const struct vrt_key *key)
{
    size_t i = 0;
    while (strncmp(key->path, key_commands[i].path, strlen(key_commands[i].path)) != 0)
        i++;
    return key_commands[i].commands;
}

static const struct vrt_key *find_key_flag(const struct vrt_program *p, const char *name)
{
    for (int64_t i = 0; i < p->nkeys; i++)
        if (p->keys[i].flag != NULL && strcmp(p->keys[i].flag, name) == 0)
            return &p->keys[i];
    return NULL;
}

int64_t vrt_options_key(const struct vrt_program *program, const char *path)
{
    for (int64_t i = 0; i < program->nkeys; i++)
        if (strcmp(program->keys[i].path, path) == 0)
            return i;
    return -1;
}

/* Optimal string alignment: insertions, deletions, changes and swaps of neighbours, on words of at most 40 letters. */
static unsigned distance(const char *a, const char *b)
{
    enum { MAX = 40 };
    size_t n = strlen(a), m = strlen(b);
    unsigned d[MAX + 1][MAX + 1];
    if (n > MAX || m > MAX)
        return MAX;
    for (size_t i = 0; i <= n; i++)
        for (size_t j = 0; j <= m; j++) {
            if (i == 0 || j == 0) {
                d[i][j] = (unsigned)(i + j);
                continue;
            }
            unsigned best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            best = d[i - 1][j] + 1 < best ? d[i - 1][j] + 1 : best;
            best = d[i][j - 1] + 1 < best ? d[i][j - 1] + 1 : best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && d[i - 2][j - 2] + 1 < best)
                best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    return d[n][m];
}

const char *vrt_nearest(const char *word, const char *const *names, size_t n)
{
    size_t length = strlen(word);
    unsigned limit = length < 6 ? 2 : (unsigned)(length / 3), best = limit + 1;
    const char *found = NULL;
    for (size_t i = 0; i < n; i++) {
        unsigned d = distance(word, names[i]);
        if (d < best && d < length) {
            best = d;
            found = names[i];
        }
    }
    return found;
}

static bool same_word(const char *a, const char *b)
{
    for (; *a != '\0' && (*a == *b || (*a == '-' && *b == '_') || (*a == '_' && *b == '-')); a++)
        b++;
    return *a == *b;
}

static const char *last_part(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot == NULL ? path : dot + 1;
}

static const char *const unit_text[] = { "", " epochs", " steps", " images", " px", " bytes" };
static const char *const spec_unit[] = { "", " epochs", " steps", " images", "px", "GiB" };     /* as the language writes them */

static const char *key_text(const struct vrt_key *key, char *text, size_t size)
{
    if (key->type == VRT_KEY_TEXT)
        snprintf(text, size, "\"%s\"", key->text != NULL ? key->text : "");
    else if (key->type == VRT_KEY_BOOL)
        snprintf(text, size, "%s", key->number != 0 ? "true" : "false");
    else
        snprintf(text, size, "%.15g%s", key->number,
                 key->unit >= 0 && key->unit <= VRT_UNIT_BYTES ? unit_text[key->unit] : "");
    return text;
}

static bool reject_static_key(const struct vrt_program *p, const struct vrt_key *key, struct vrt_error *e)
{
    char value[200];
    const char *unit = key->unit > VRT_UNIT_NONE && key->unit <= VRT_UNIT_BYTES ? spec_unit[key->unit] : "";
    return vrt_fail(e, VRT_USAGE, "%s is fixed in this program (%s); rebuild it with\n  vmoec build %s --set '%s=VALUE%s'",
                    key->path, key_text(key, value, sizeof value), p->spec_file, key->path, unit);
}

/* The value of a word that the program's tables know, "" for others. */
static const char *static_value(const struct vrt_program *p, const char *word, char text[64])
{
    const struct { const char *word; int64_t value; } known[] = {
        { "experts", p->nmoes > 0 ? p->moes[0].experts : 0 }, { "top_k", p->nmoes > 0 ? p->moes[0].top_k : 0 },
        { "classes", p->classes }, { "group", p->group }, { "channels", p->channels }, { "height", p->height },
        { "width", p->width }, { "image_size", p->height }, { "img_size", p->height },
    };
    text[0] = '\0';
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].word, word) == 0 && known[i].value > 0)
            snprintf(text, 64, " (%lld)", (long long)known[i].value);
    return text;
}

static bool reject_static_word(const struct vrt_program *p, const char *word, struct vrt_error *e)
{
    char value[64];
    return vrt_fail(e, VRT_USAGE, "%s is fixed in this program%s; change it in %s, or where the file has a parameter of "
                    "that name:\n  vmoec build %s -D %s=VALUE", word, static_value(p, word, value), p->spec_file,
                    p->spec_file, word);
}

static bool suggest_flag(const struct vrt_options *o, const char *word, struct vrt_error *e)
{
    const struct vrt_program *p = o->program;
    unsigned bit = o->command != NULL ? o->command->bit : VRT_ALL;
    const char **names = calloc((size_t)p->nkeys + NFLAGS + 1, sizeof *names), *near = NULL;
    size_t n = 0;
    for (int i = 0; names != NULL && i < NFLAGS; i++)
        if (flags[i].commands & bit)
            names[n++] = flags[i].name;
    for (int64_t i = 0; names != NULL && i < p->nkeys; i++)
        if (p->keys[i].flag != NULL && p->keys[i].runtime && commands_of_key(&p->keys[i]) & bit)
            names[n++] = p->keys[i].flag;
    if (names != NULL)
        near = vrt_nearest(word, names, n);
    free(names);
    const char *command = o->command != NULL ? o->command->name : "";
    if (near != NULL)
        return vrt_fail(e, VRT_USAGE, "there is no flag --%s; did you mean --%s?", word, near);
    return vrt_fail(e, VRT_USAGE, "there is no flag --%s; see %s %s%s--help", word, o->argv[0], command, *command ? " " : "");
}

bool vrt_options_reject(const struct vrt_options *o, const char *word, struct vrt_error *e)
{
    const struct vrt_program *p = o->program;
    const struct vrt_key *key = find_key_flag(p, word);
    for (int64_t i = 0; key == NULL && i < p->nkeys; i++)
        if (same_word(last_part(p->keys[i].path), word))
            key = &p->keys[i];
    if (key != NULL && !key->runtime)
        return reject_static_key(p, key, e);
    for (size_t i = 0; i < sizeof static_words / sizeof *static_words; i++)
        if (key == NULL && same_word(static_words[i], word))
            return reject_static_word(p, static_words[i], e);
    if (o->command == NULL && (key != NULL || find_flag(word, VRT_ALL) != NULL))
        return vrt_fail(e, VRT_USAGE, "--%s stands after a command, as in %s train --%s ...", word, o->argv[0], word);
    if (key != NULL && commands_of_key(key) & o->command->bit & set_commands)
        return vrt_fail(e, VRT_USAGE, "there is no flag --%s here; write --set %s=VALUE", word, key->path);
    if (key != NULL || find_flag(word, VRT_ALL) != NULL)
        return vrt_fail(e, VRT_USAGE, "%s has no flag --%s; see %s %s --help", o->command->name, word, o->argv[0],
                        o->command->name);
    return suggest_flag(o, word, e);
}

/* A decimal number; *end is what follows it. Neither "inf", "nan" nor hexadecimal counts. */
static bool read_number(const char *text, double *out, const char **end)
{
    char *rest;
    if (strspn(text, "+-.0123456789") == 0 || strpbrk(text, "xXnN") == text + strspn(text, "+-0"))
        return false;
    errno = 0;
    *out = strtod(text, &rest);
    *end = rest;
    return rest != text && isfinite(*out);
}

static bool bad_value(const char *name, const char *text, const char *wanted, struct vrt_error *e)
{
    return vrt_fail(e, VRT_USAGE, "%s must be %s, not `%.100s`", name, wanted, text);
}

/* What may follow a number: nothing, `%`, or a unit; epochs and steps can stand for each other. */
static bool read_unit(const struct vrt_key *key, const char *rest, struct vrt_value *out)
{
    bool time = key->unit == VRT_UNIT_EPOCHS || key->unit == VRT_UNIT_STEPS;
    out->unit = key->unit;
    rest += strspn(rest, " ");
    if (strcmp(rest, "%") == 0 && key->type == VRT_KEY_FLOAT && key->unit == VRT_UNIT_NONE)
        out->number /= 100.0;
    else if (*rest != '\0') {
        int i = 0;
        while (i < NUNITS && strcmp(units[i].name, rest) != 0)
            i++;
        if (i == NUNITS)
            return false;
        out->unit = units[i].unit;
    }
    return out->unit == key->unit || (time && (out->unit == VRT_UNIT_EPOCHS || out->unit == VRT_UNIT_STEPS));
}

bool vrt_options_value(const struct vrt_key *key, const char *name, const char *text, struct vrt_value *out,
                       struct vrt_error *e)
{
    const char *rest;
    *out = (struct vrt_value){ .unit = key->unit, .given = true, .text = text };
    if (key->type == VRT_KEY_TEXT)
        return true;
    if (key->type == VRT_KEY_BOOL) {
        out->number = strcmp(text, "true") == 0;
        return out->number != 0 || strcmp(text, "false") == 0 || bad_value(name, text, "true or false", e);
    }
    if (!read_number(text, &out->number, &rest))
        return bad_value(name, text, "a number", e);
    if (!read_unit(key, rest, out))
        return bad_value(name, text, key->unit == VRT_UNIT_NONE ? "a number" : "a number, alone or in the key's own unit", e);
    if (key->type == VRT_KEY_INT && (out->number != floor(out->number) || fabs(out->number) > 0x1p53))
        return bad_value(name, text, "a whole number", e);
    return true;
}

static bool store_flag(struct vrt_options *o, const struct flag *f, const char *text, struct vrt_error *e)
{
    void *field = (char *)o + f->offset;
    char name[40], wanted[120];
    const char *rest;
    double value;
    if (f->type == TEXT) {
        *(const char **)field = text;
        return true;
    }
    snprintf(name, sizeof name, "--%s", f->name);
    if (!read_number(text, &value, &rest) || *rest != '\0' || value < f->min || value > f->max ||
        (f->type == WHOLE && value != floor(value))) {
        snprintf(wanted, sizeof wanted, "a %snumber from %g to %g", f->type == WHOLE ? "whole " : "", f->min, f->max);
        return bad_value(name, text, wanted, e);
    }
    if (f->type == WHOLE)
        *(int64_t *)field = (int64_t)value;
    else
        *(double *)field = value;
    return true;
}

static bool suggest_path(const struct vrt_program *p, const char *path, struct vrt_error *e)
{
    const char **names = calloc((size_t)p->nkeys + 1, sizeof *names), *near = NULL;
    size_t n = 0;
    for (int64_t i = 0; names != NULL && i < p->nkeys; i++)
        names[n++] = p->keys[i].path;
    if (names != NULL)
        near = vrt_nearest(path, names, n);
    free(names);
    return vrt_fail(e, VRT_USAGE, "there is no key %.100s%s%s%s; it may be one of the network, which is fixed in this "
                    "program: rebuild it with\n  vmoec build %s --set %.100s=VALUE", path, near ? " (did you mean " : "",
                    near ? near : "", near ? "?)" : "", p->spec_file, path);
}

static bool store_set(struct vrt_options *o, char *text, struct vrt_error *e)
{
    char *equals = strchr(text, '=');
    if (equals == NULL || equals == text)
        return vrt_fail(e, VRT_USAGE, "--set needs path=value, as in --set train.optim.lr=0.001, not `%.100s`", text);
    char path[200];
    snprintf(path, sizeof path, "%.*s", (int)(equals - text), text);
    int64_t i = vrt_options_key(o->program, path);
    if (i < 0)
        return suggest_path(o->program, path, e);
    if (!o->program->keys[i].runtime)
        return reject_static_key(o->program, &o->program->keys[i], e);
    return vrt_options_value(&o->program->keys[i], path, equals + 1, &o->keys[i], e);
}

/* One --flag; *i moves on when the next word is its value. */
static bool parse_flag(struct vrt_options *o, int *i, struct vrt_error *e)
{
    char name[64], *word = o->argv[*i] + 2, *equals = strchr(word, '=');
    int length = equals != NULL ? (int)(equals - word) : (int)strlen(word);
    snprintf(name, sizeof name, "%.*s", length, word);
    const struct flag *f = find_flag(name, o->command->bit);
    const struct vrt_key *key = f == NULL ? find_key_flag(o->program, name) : NULL;
    bool is_set = strcmp(name, "set") == 0 && o->command->bit & set_commands;
    if (key != NULL && (!key->runtime || !(commands_of_key(key) & o->command->bit)))
        key = NULL;
    if (f == NULL && key == NULL && !is_set)
        return vrt_options_reject(o, name, e);
    if (f != NULL && f->type == SWITCH) {
        *(bool *)((char *)o + f->offset) = true;
        return equals == NULL || vrt_fail(e, VRT_USAGE, "--%s takes no value", name);
    }
    char *text = equals != NULL ? equals + 1 : *i + 1 < o->argc ? o->argv[++*i] : NULL;
    if (text == NULL)
        return vrt_fail(e, VRT_USAGE, "--%s needs a value", name);
    char label[80];
    snprintf(label, sizeof label, "--%s", name);
    return f != NULL ? store_flag(o, f, text, e) : is_set ? store_set(o, text, e) :
           vrt_options_value(key, label, text, &o->keys[key - o->program->keys], e);
}

static bool start_options(struct vrt_options *o, const struct vrt_program *p, struct vrt_error *e)
{
    o->keys = calloc((size_t)p->nkeys + 1, sizeof *o->keys);
    if (o->keys == NULL)
        return vrt_fail(e, VRT_BAD_INPUT, "no memory for the options");
    for (int64_t i = 0; i < p->nkeys; i++)
        o->keys[i] = (struct vrt_value){ .number = p->keys[i].number, .unit = p->keys[i].unit, .text = p->keys[i].text };
    return true;
}

bool vrt_options_parse(struct vrt_options *o, const struct vrt_program *program, const struct vrt_command *command,
                       int argc, char **argv, struct vrt_error *e)
{
    *o = (struct vrt_options){ .program = program, .command = command, .argc = argc, .argv = argv, .top = 5, .seconds = 3.0 };
    if (!start_options(o, program, e))
        return false;
    o->files = calloc((size_t)argc + 1, sizeof *o->files);
    if (o->files == NULL)
        return vrt_fail(e, VRT_BAD_INPUT, "no memory for the options");
    bool only_files = false;
    for (int i = 2; i < argc; i++) {
        bool is_flag = !only_files && argv[i][0] == '-' && argv[i][1] != '\0';
        if (!is_flag && command->operands == NULL)
            return vrt_fail(e, VRT_USAGE, "%s takes no operand, but there is `%.100s`", command->name, argv[i]);
        if (!is_flag)
            o->files[o->nfiles++] = argv[i];
        else if (strcmp(argv[i], "--") == 0)
            only_files = true;
        else if (strcmp(argv[i], "-h") == 0)
            o->help = true;
        else if (argv[i][1] != '-')
            return vrt_fail(e, VRT_USAGE, "there is no flag %.100s: flags begin with --; see %s %s --help", argv[i], argv[0],
                            command->name);
        else if (!parse_flag(o, &i, e))
            return false;
    }
    return true;
}

void vrt_options_free(struct vrt_options *o)
{
    free(o->keys);
    free(o->files);
}

static void help_row(FILE *out, const char *name, const char *argument, const char *help)
{
    char left[80];
    snprintf(left, sizeof left, "--%s%s%s", name, argument != NULL ? " " : "", argument != NULL ? argument : "");
    fprintf(out, "  %-24s %s\n", left, help);
}

static void help_keys(const struct vrt_options *o, FILE *out)
{
    const struct vrt_program *p = o->program;
    const struct vrt_command *c = o->command;
    help_row(out, "set", "PATH=VALUE", "any of these keys:");
    for (int64_t i = 0; i < p->nkeys; i++) {
        char value[200];
        if (p->keys[i].runtime && (c->bit == VRT_TRAIN || commands_of_key(&p->keys[i]) & c->bit))
            fprintf(out, "      %-32s %s\n", p->keys[i].path, key_text(&p->keys[i], value, sizeof value));
    }
}

void vrt_options_help(const struct vrt_options *o, FILE *out)
{
    const struct vrt_program *p = o->program;
    const struct vrt_command *c = o->command;
    static const char *const arguments[] = { "true|false", "N", "X", "TEXT" };
    fprintf(out, "%s %s [flags]%s%s\n\n%s\n\n", o->argv[0], c->name, c->operands ? " " : "", c->operands ? c->operands : "",
            c->summary);
    for (int i = 0; i < NFLAGS; i++)
        if (flags[i].commands & c->bit)
            help_row(out, flags[i].name, flags[i].argument, flags[i].help);
    for (int64_t i = 0; i < p->nkeys; i++) {
        const struct vrt_key *key = &p->keys[i];
        char help[400], value[200];
        if (key->flag == NULL || !key->runtime || !(commands_of_key(key) & c->bit) || find_flag(key->flag, c->bit) != NULL)
            continue;
        snprintf(help, sizeof help, "%s (%s)", key->help != NULL ? key->help : key->path, key_text(key, value, sizeof value));
        help_row(out, key->flag, arguments[key->type], help);
    }
    if (c->bit & set_commands)
        help_keys(o, out);
    if (c->bit == VRT_TRAIN)
        fprintf(out, "\nExit status: 0 done; 1 bad input, data that have gone, a disk that is full, or losses that are not finite;\n"
                "2 wrong usage; 3 a fault of the program; 130 or 143 stopped by SIGINT or SIGTERM after its step, with the state\n"
                "saved. SIGUSR1 saves the state and goes on. train --resume --out FOLDER goes on from the newest good state; no\n"
                "other flag is needed.\n");
}
