/* Values: making, comparing, printing, and the types of the language. Input: a value and the name
 * of the wanted type. Output: the value as that type, or a report that says how to write it. */
#include <math.h>
#include <string.h>

#include "lang/base/arena.h"
#include "lang/resolve.h"
#include "lang/unit.h"

struct spec_value value_int(int64_t i)
{
    return (struct spec_value){.type = SPEC_INT, .i = i, .f = (double)i};
}

struct spec_value value_float(double f)
{
    return (struct spec_value){.type = SPEC_FLOAT, .f = f};
}

struct spec_value value_bool(bool b)
{
    return (struct spec_value){.type = SPEC_BOOL, .i = b, .f = b};
}

struct spec_value value_text(const char *text)
{
    return (struct spec_value){.type = SPEC_TEXT, .text = text};
}

static bool is_number(const struct spec_value *v)
{
    return v->type == SPEC_INT || v->type == SPEC_FLOAT;
}

bool value_equal(const struct spec_value *a, const struct spec_value *b)
{
    if (is_number(a) && is_number(b))
        return a->unit == b->unit && a->f == b->f && a->i == b->i;
    if (a->type != b->type)
        return false;
    switch (a->type) {
    case SPEC_NONE: return true;
    case SPEC_BOOL: return a->i == b->i;
    case SPEC_TEXT:
    case SPEC_WORD: return strcmp(a->text, b->text) == 0;
    default:        return false;
    }
}

static const char *print_list(struct run *r, const struct spec_value *v)
{
    if (v->text && v->n == 2)
        return arena_printf(r->arena, "%s .. %s", value_print(r, &v->items[0]),
                            value_print(r, &v->items[1]));
    const char *list = "";
    for (size_t i = 0; i < v->n && i < 16; i++)
        list = arena_printf(r->arena, "%s%s%s", list, i ? ", " : "", value_print(r, &v->items[i]));
    return arena_printf(r->arena, "[%s%s]", list, v->n > 16 ? ", ..." : "");
}

const char *value_print(struct run *r, const struct spec_value *v)
{
    switch (v->type) {
    case SPEC_NONE:  return "none";
    case SPEC_BOOL:  return v->i ? "true" : "false";
    case SPEC_INT:
    case SPEC_FLOAT: return unit_literal(r->arena, v);
    case SPEC_TEXT:  return arena_printf(r->arena, "\"%s\"", v->text);
    case SPEC_WORD:  return v->text;
    case SPEC_LIST:  return print_list(r, v);
    case SPEC_CALL:  return arena_printf(r->arena, "%s(...)", v->text);
    }
    return "";
}

/* ---- types ---- */

static const struct scalar {
    const char *name;
    enum spec_type type;
    enum spec_unit unit;
    const char *noun, *example;
} scalars[] = {
    {"int", SPEC_INT, UNIT_NONE, "a whole number", "4"},
    {"float", SPEC_FLOAT, UNIT_NONE, "a number", "0.1"},
    {"bool", SPEC_BOOL, UNIT_NONE, "`true` or `false`", "true"},
    {"text", SPEC_TEXT, UNIT_NONE, "a text in quotes", "\"train\""},
    {"path", SPEC_TEXT, UNIT_NONE, "a path in quotes", "\"/data\""},
    {"px", SPEC_INT, UNIT_PX, "a size in px", "4px"},
    {"epochs", SPEC_INT, UNIT_EPOCHS, "a number of epochs", "300 epochs"},
    {"steps", SPEC_INT, UNIT_STEPS, "a number of steps", "1000 steps"},
    {"images", SPEC_INT, UNIT_IMAGES, "a number of images", "128 images"},
    {"bytes", SPEC_INT, UNIT_BYTES, "a number of bytes", "4GiB"},
};

static const struct scalar *find_scalar(const char *type)
{
    for (size_t i = 0; i < sizeof scalars / sizeof *scalars; i++)
        if (strcmp(scalars[i].name, type) == 0)
            return &scalars[i];
    return NULL;
}

static const char *noun_of(const struct spec_value *v)
{
    static const char *const nouns[] = {
        "`none`", "true or false", "a whole number", "a number",
        "a text", "a word",        "a list",         "a call",
    };
    return nouns[v->type];
}

static bool report_type(struct run *r, const struct spec_value *v, const char *what,
                        const char *wanted, const char *example, struct loc loc)
{
    diag_report(r->diag, DIAG_WRONG_TYPE, loc, "`%s` is %s, not %s (%.100s)", what, wanted,
                noun_of(v), value_print(r, v));
    if (example)
        diag_help(r->diag, "for example `%s`", example);
    return false;
}

static bool report_unit(struct run *r, const struct spec_value *v, const char *what,
                        enum spec_unit unit, struct loc loc)
{
    if (v->unit == UNIT_NONE)
        diag_report(r->diag, DIAG_WRONG_UNIT, loc, "`%s` needs its unit: %s", what,
                    unit_name(unit));
    else if (unit == UNIT_NONE)
        diag_report(r->diag, DIAG_WRONG_UNIT, loc, "`%s` takes no unit, not %s", what,
                    unit_name(v->unit));
    else
        diag_report(r->diag, DIAG_WRONG_UNIT, loc, "`%s` is in %s, not in %s", what,
                    unit_name(unit), unit_name(v->unit));
    struct spec_value fixed = *v;
    fixed.unit = unit;
    if (v->unit == UNIT_NONE || unit == UNIT_NONE)
        diag_fix(r->diag, unit_literal(r->arena, &fixed));
    return false;
}

/* 4 * 0.5 is as good a whole number as 2. */
static void to_whole(struct spec_value *v)
{
    if (v->type != SPEC_FLOAT || v->f != floor(v->f) || fabs(v->f) > 9007199254740992.0)
        return;
    v->type = SPEC_INT;
    v->i = (int64_t)v->f;
}

static bool convert_scalar(struct run *r, struct spec_value *v, const struct scalar *t,
                           const char *what, struct loc loc)
{
    if (t->type == SPEC_INT)
        to_whole(v);
    bool number = t->type == SPEC_INT || t->type == SPEC_FLOAT;
    if (number ? !is_number(v) : v->type != t->type)
        return report_type(r, v, what, t->noun, t->example, loc);
    if (v->unit != t->unit)
        return report_unit(r, v, what, t->unit, loc);
    if (t->type == SPEC_INT && v->type != SPEC_INT)
        return report_type(r, v, what, t->noun, t->example, loc);
    if (t->type == SPEC_FLOAT)
        v->type = SPEC_FLOAT, v->i = 0;
    return true;
}

/* One number stands for a list of one: `mean: 0.5`. */
static bool convert_numbers(struct run *r, struct spec_value *v, const char *what, struct loc loc)
{
    if (is_number(v)) {
        struct spec_value *item = arena_alloc(r->arena, sizeof *item);
        *item = *v;
        *v = (struct spec_value){.type = SPEC_LIST, .items = item, .n = 1, .loc = v->loc};
    }
    if (v->type != SPEC_LIST || v->text || v->n < 1 || v->n > 3)
        return report_type(r, v, what, "a number or a list of up to three", "[0.9, 0.999]", loc);
    for (size_t i = 0; i < v->n; i++)
        if (!is_number(&v->items[i]) || v->items[i].unit != UNIT_NONE)
            return report_type(r, &v->items[i], what, "a list of numbers", "[0.9, 0.999]", loc);
    return true;
}

static bool convert_range(struct run *r, struct spec_value *v, const char *what, struct loc loc)
{
    bool good =
        v->type == SPEC_LIST && v->text && is_number(&v->items[0]) && is_number(&v->items[1]);
    if (!good)
        return report_type(r, v, what, "a range", "0.08 .. 1.0", loc);
    if (v->items[0].unit || v->items[1].unit)
        return report_unit(r, &v->items[0], what, UNIT_NONE, loc);
    if (v->items[0].f > 0 && v->items[0].f <= v->items[1].f)
        return true;
    diag_report(r->diag, DIAG_OUT_OF_RANGE, loc, "`%s` is %s: it must be positive and not fall",
                what, value_print(r, v));
    return false;
}

static bool convert_time(struct run *r, struct spec_value *v, const char *what, struct loc loc)
{
    if (!is_number(v))
        return report_type(r, v, what, "a time", "5 epochs", loc);
    if (v->unit != UNIT_EPOCHS && v->unit != UNIT_STEPS)
        return report_unit(r, v, what, UNIT_EPOCHS, loc);
    if (v->f >= 0)
        return true;
    diag_report(r->diag, DIAG_OUT_OF_RANGE, loc, "`%s` is negative", what);
    return false;
}

static bool report_word(struct run *r, const struct spec_value *v, const char *what,
                        const char *words, struct loc loc)
{
    const char *written =
        v->type == SPEC_WORD || v->type == SPEC_TEXT ? v->text : value_print(r, v);
    struct suggest s = suggest_start(written);
    char *list = arena_copy(r->arena, words, strlen(words)), *save = NULL;
    for (char *w = strtok_r(list, " ", &save); w; w = strtok_r(NULL, " ", &save))
        suggest_add(&s, w);
    diag_report(r->diag, DIAG_UNKNOWN_WORD, loc, "`%s` is one of: %s; not `%.100s`", what, words,
                written);
    if (s.best)
        diag_fix(r->diag, s.best);
    return false;
}

bool value_convert(struct run *r, struct spec_value *v, const char *type, bool optional,
                   const char *what, struct loc loc)
{
    if (v->type == SPEC_NONE && optional)
        return true;
    const struct scalar *t = find_scalar(type);
    if (t)
        return convert_scalar(r, v, t, what, loc);
    if (strcmp(type, "time") == 0)
        return convert_time(r, v, what, loc);
    if (strcmp(type, "range") == 0)
        return convert_range(r, v, what, loc);
    if (strcmp(type, "numbers") == 0 || strcmp(type, "mean") == 0 || strcmp(type, "std") == 0)
        return convert_numbers(r, v, what, loc);
    if (keys_words(type))
        return report_word(r, v, what, keys_words(type), loc);
    struct suggest s = suggest_start(type);
    for (size_t i = 0; i < sizeof scalars / sizeof *scalars; i++)
        suggest_add(&s, scalars[i].name);
    diag_report(r->diag, DIAG_UNKNOWN_WORD, loc, "`%s` is no type", type);
    diag_note(r->diag, (struct loc){0},
              "types are int, float, bool, text, path, px, epochs, steps, images, bytes, time");
    if (s.best)
        diag_help(r->diag, "did you mean `%s`?", s.best);
    return false;
}
