/* The command line: see options.h. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/show.h"
#include "runtime/program/flags.h"
#include "runtime/program/suggest.h"

static const struct {
    const char *name;
    int32_t unit;
} units[] = {
    {"epochs", VRT_UNIT_EPOCHS}, {"epoch", VRT_UNIT_EPOCHS},  {"steps", VRT_UNIT_STEPS},
    {"step", VRT_UNIT_STEPS},    {"images", VRT_UNIT_IMAGES}, {"image", VRT_UNIT_IMAGES},
    {"px", VRT_UNIT_PX},         {"bytes", VRT_UNIT_BYTES},
};
enum { NUNITS = sizeof units / sizeof *units };

int64_t vrt_options_key(const struct vrt_program *program, const char *path)
{
    for (int64_t i = 0; i < program->nkeys; i++)
        if (strcmp(program->keys[i].path, path) == 0)
            return i;
    return -1;
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

/* A time, whose epochs and steps can stand for each other, is no whole number of either. */
static bool is_time(const struct vrt_key *key)
{
    return key->type == VRT_KEY_FLOAT &&
           (key->unit == VRT_UNIT_EPOCHS || key->unit == VRT_UNIT_STEPS);
}

/* What may follow a number: nothing, `%`, or a unit. */
static bool read_unit(const struct vrt_key *key, const char *rest, struct vrt_value *out)
{
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
    return out->unit == key->unit ||
           (is_time(key) && (out->unit == VRT_UNIT_EPOCHS || out->unit == VRT_UNIT_STEPS));
}

static bool bad_unit(const struct vrt_key *key, const char *name, const char *text,
                     struct vrt_error *e)
{
    char wanted[60];
    int i = 0;
    while (i < NUNITS && units[i].unit != key->unit)
        i++;
    if (i == NUNITS)
        return bad_value(name, text, "a number", e);
    snprintf(wanted, sizeof wanted, "a number, alone or in %s",
             is_time(key) ? "epochs or steps" : units[i].name);
    return bad_value(name, text, wanted, e);
}

bool vrt_options_value(const struct vrt_key *key, const char *name, const char *text,
                       struct vrt_value *out, struct vrt_error *e)
{
    const char *rest;
    *out = (struct vrt_value){.unit = key->unit, .given = true, .text = text};
    if (key->type == VRT_KEY_TEXT)
        return true;
    if (key->type == VRT_KEY_BOOL) {
        out->number = strcmp(text, "true") == 0;
        return out->number != 0 || strcmp(text, "false") == 0 ||
               bad_value(name, text, "true or false", e);
    }
    if (!read_number(text, &out->number, &rest))
        return bad_value(name, text, "a number", e);
    if (!read_unit(key, rest, out))
        return bad_unit(key, name, text, e);
    if (key->type == VRT_KEY_INT &&
        (out->number != floor(out->number) || fabs(out->number) > 0x1p53))
        return bad_value(name, text, "a whole number", e);
    return true;
}

static bool store_flag(struct vrt_options *o, const struct vrt_flag *f, const char *text,
                       struct vrt_error *e)
{
    void *field = (char *)o + f->offset;
    char name[40], wanted[120];
    const char *rest;
    double value;
    if (f->type == FLAG_TEXT) {
        *(const char **)field = text;
        return true;
    }
    snprintf(name, sizeof name, "--%s", f->name);
    if (!read_number(text, &value, &rest) || *rest != '\0' || value < f->min || value > f->max ||
        (f->type == FLAG_WHOLE && value != floor(value))) {
        snprintf(wanted, sizeof wanted, "a %snumber from %g to %g",
                 f->type == FLAG_WHOLE ? "whole " : "", f->min, f->max);
        return bad_value(name, text, wanted, e);
    }
    if (f->type == FLAG_WHOLE)
        *(int64_t *)field = (int64_t)value;
    else
        *(double *)field = value;
    return true;
}

static bool store_set(struct vrt_options *o, char *text, struct vrt_error *e)
{
    char *equals = strchr(text, '=');
    if (equals == NULL || equals == text)
        return vrt_fail(e, VRT_USAGE,
                        "--set needs path=value, as in --set train.optim.lr=0.001, not `%.100s`",
                        text);
    char path[200];
    snprintf(path, sizeof path, "%.*s", (int)(equals - text), text);
    int64_t i = vrt_options_key(o->program, path);
    if (i < 0)
        return vrt_reject_path(o->program, path, e);
    if (!o->program->keys[i].runtime)
        return vrt_reject_fixed(o->program, &o->program->keys[i], e);
    return vrt_options_value(&o->program->keys[i], path, equals + 1, &o->keys[i], e);
}

/* One --flag; *i moves on when the next word is its value. */
static bool parse_flag(struct vrt_options *o, int *i, struct vrt_error *e)
{
    char name[64], *word = o->argv[*i] + 2, *equals = strchr(word, '=');
    int length = equals != NULL ? (int)(equals - word) : (int)strlen(word);
    snprintf(name, sizeof name, "%.*s", length, word);
    const struct vrt_flag *f = vrt_flag_find(name, o->command->bit);
    const struct vrt_key *key = f == NULL ? vrt_flag_key(o->program, name) : NULL;
    bool is_set = strcmp(name, "set") == 0 && o->command->bit & VRT_SET_COMMANDS;
    if (key != NULL && (!key->runtime || !(vrt_flag_commands(key) & o->command->bit)))
        key = NULL;
    if (f == NULL && key == NULL && !is_set)
        return vrt_reject_flag(o, name, e);
    if (f != NULL && f->type == FLAG_SWITCH) {
        *(bool *)((char *)o + f->offset) = true;
        return equals == NULL || vrt_fail(e, VRT_USAGE, "--%s takes no value", name);
    }
    char *text = equals != NULL ? equals + 1 : *i + 1 < o->argc ? o->argv[++*i] : NULL;
    if (text == NULL)
        return vrt_fail(e, VRT_USAGE, "--%s needs a value", name);
    char label[80];
    snprintf(label, sizeof label, "--%s", name);
    return f != NULL ? store_flag(o, f, text, e)
           : is_set  ? store_set(o, text, e)
                     : vrt_options_value(key, label, text, &o->keys[key - o->program->keys], e);
}

static bool start_options(struct vrt_options *o, const struct vrt_program *p, struct vrt_error *e)
{
    o->keys = calloc((size_t)p->nkeys + 1, sizeof *o->keys);
    if (o->keys == NULL)
        return vrt_fail(e, VRT_NO_MEMORY, "no memory for the options");
    for (int64_t i = 0; i < p->nkeys; i++)
        o->keys[i] = (struct vrt_value){
            .number = p->keys[i].number, .unit = p->keys[i].unit, .text = p->keys[i].text};
    return true;
}

static bool reject_dash(const struct vrt_options *o, const char *word, struct vrt_error *e)
{
    char program[VRT_WORD];
    return vrt_fail(e, VRT_USAGE, "there is no flag %.100s: flags begin with --; see %s %s --help",
                    word, vrt_quote(program, sizeof program, o->argv[0]), o->command->name);
}

bool vrt_options_parse(struct vrt_options *o, const struct vrt_program *program,
                       const struct vrt_command *command, int argc, char **argv,
                       struct vrt_error *e)
{
    *o = (struct vrt_options){.program = program,
                              .command = command,
                              .argc = argc,
                              .argv = argv,
                              .top = 5,
                              .seconds = 3.0};
    if (!start_options(o, program, e))
        return false;
    o->files = calloc((size_t)argc + 1, sizeof *o->files);
    if (o->files == NULL)
        return vrt_fail(e, VRT_NO_MEMORY, "no memory for the options");
    bool only_files = false;
    for (int i = 2; i < argc; i++) {
        bool is_flag = !only_files && argv[i][0] == '-' && argv[i][1] != '\0';
        if (!is_flag && command->operands == NULL)
            return vrt_fail(e, VRT_USAGE, "%s takes no operand, but there is `%.100s`",
                            command->name, argv[i]);
        if (!is_flag)
            o->files[o->nfiles++] = argv[i];
        else if (strcmp(argv[i], "--") == 0)
            only_files = true;
        else if (strcmp(argv[i], "-h") == 0)
            o->help = true;
        else if (argv[i][1] != '-')
            return reject_dash(o, argv[i], e);
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
