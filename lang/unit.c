/* Quantities. Input: the parts of a number token. Output: a value with its unit; bytes and `%` are
 * scaled here. */
#include "lang/unit.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lang/base/arena.h"
#include "lang/base/text.h"

static const struct {
    const char *word;
    enum spec_unit unit;
    double scale;
} words[] = {
    {"epochs", UNIT_EPOCHS, 1},
    {"epoch", UNIT_EPOCHS, 1},
    {"steps", UNIT_STEPS, 1},
    {"step", UNIT_STEPS, 1},
    {"images", UNIT_IMAGES, 1},
    {"image", UNIT_IMAGES, 1},
    {"px", UNIT_PX, 1},
    {"%", UNIT_NONE, 0.01},
    {"B", UNIT_BYTES, 1},
    {"KB", UNIT_BYTES, 1e3},
    {"MB", UNIT_BYTES, 1e6},
    {"GB", UNIT_BYTES, 1e9},
    {"TB", UNIT_BYTES, 1e12},
    {"KiB", UNIT_BYTES, 1024.0},
    {"MiB", UNIT_BYTES, 1048576.0},
    {"GiB", UNIT_BYTES, 1073741824.0},
    {"TiB", UNIT_BYTES, 1099511627776.0},
};
#define NWORDS (sizeof words / sizeof *words)

static size_t word_index(const char *word)
{
    size_t i = 0;
    while (i < NWORDS && strcmp(words[i].word, word) != 0)
        i++;
    return i;
}

bool unit_is_word(const char *word)
{
    return word_index(word) < NWORDS;
}

void unit_suggest(struct suggest *s)
{
    for (size_t i = 0; i < NWORDS; i++)
        suggest_add(s, words[i].word);
}

static void set_int(struct spec_value *v, int64_t i)
{
    v->type = SPEC_INT;
    v->i = i;
    v->f = (double)i;
}

bool unit_parse(const char *number, size_t len, const char *unit, struct spec_value *value)
{
    char digits[64];
    size_t n = 0;
    bool whole = true;
    for (size_t i = 0; i < len; i++) {
        if (number[i] == '_')
            continue;
        if (n == sizeof digits - 1)
            return false;
        if (strchr(".eE", number[i]))
            whole = false;
        digits[n++] = number[i];
    }
    digits[n] = '\0';
    size_t u = unit ? word_index(unit) : NWORDS;
    double scale = u < NWORDS ? words[u].scale : 1;
    *value = (struct spec_value){.unit = u < NWORDS ? words[u].unit : UNIT_NONE};
    errno = 0;
    if (whole && scale == 1) {
        int64_t i = strtoll(digits, NULL, 10);
        if (errno)
            return false;
        set_int(value, i);
        return true;
    }
    value->type = SPEC_FLOAT;
    value->f = strtod(digits, NULL);
    if (!isfinite(value->f))
        return false;
    /* Dividing gives the double nearest to the decimal number: 5% is 0.05, bit for bit. */
    value->f = scale < 1 ? value->f / 100 : value->f * scale;
    if (value->unit != UNIT_BYTES)
        return true;
    if (value->f > 9e18 || value->f != floor(value->f))
        return false;
    set_int(value, (int64_t)value->f);
    return true;
}

const char *unit_name(enum spec_unit unit)
{
    static const char *const names[] = {"no unit", "epochs", "steps", "images", "px", "bytes"};
    return names[unit];
}

const char *unit_literal(struct arena *a, const struct spec_value *v)
{
    static const char *const one[] = {"", " epoch", " step", " image", "px", "B"};
    static const char *const many[] = {"", " epochs", " steps", " images", "px", "B"};
    if (v->type != SPEC_INT)
        return arena_printf(a, "%s%s", text_float(a, v->f), many[v->unit]);
    return arena_printf(a, "%" PRId64 "%s", v->i, v->i == 1 ? one[v->unit] : many[v->unit]);
}

const char *unit_count(struct arena *a, double value)
{
    if (!(fabs(value) < 9e15) || value != floor(value))
        return text_float(a, value);
    char digits[32], out[48];
    int n = snprintf(digits, sizeof digits, "%.0f", fabs(value)), k = 0;
    if (value < 0)
        out[k++] = '-';
    for (int i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0)
            out[k++] = '_';
        out[k++] = digits[i];
    }
    return arena_copy(a, out, (size_t)k);
}
