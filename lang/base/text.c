/* Words and texts. Input: strings. Output: map look-ups, suggestions, literals. Nothing here
 * reports. */
#include "lang/base/text.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lang/base/arena.h"

/* FNV-1a: the keys are short words. */
static size_t hash(const char *key)
{
    uint64_t h = 1469598103934665603u;
    for (; *key; key++)
        h = (h ^ (unsigned char)*key) * 1099511628211u;
    return (size_t)(h ^ h >> 32);
}

static struct map_slot *map_slot(const struct map *m, const char *key)
{
    size_t i = hash(key) & (m->cap - 1);
    while (m->slots[i].key && strcmp(m->slots[i].key, key) != 0)
        i = (i + 1) & (m->cap - 1);
    return &m->slots[i];
}

void *map_get(const struct map *m, const char *key)
{
    return m->cap ? map_slot(m, key)->value : NULL;
}

void map_put(struct arena *a, struct map *m, const char *key, void *value)
{
    if (m->n * 2 >= m->cap) {
        struct map old = *m;
        m->cap = old.cap ? old.cap * 2 : 8;
        m->slots = arena_array(a, m->cap, sizeof *m->slots);
        for (size_t i = 0; i < old.cap; i++)
            if (old.slots[i].key)
                *map_slot(m, old.slots[i].key) = old.slots[i];
    }
    struct map_slot *s = map_slot(m, key);
    if (!s->key)
        m->n++;
    *s = (struct map_slot){key, value};
}

/* Length of the valid sequence at p, or 0. Overlong forms, surrogates and code points past 10FFFF
 * are refused. */
static size_t utf8_length(const unsigned char *p, size_t left)
{
    static const struct {
        unsigned char mask, lead, low, high;
        size_t n;
    } form[] = {
        {0xff, 0xe0, 0xa0, 0xbf, 3}, {0xff, 0xed, 0x80, 0x9f, 3}, {0xf0, 0xe0, 0x80, 0xbf, 3},
        {0xff, 0xf0, 0x90, 0xbf, 4}, {0xff, 0xf4, 0x80, 0x8f, 4}, {0xfc, 0xf0, 0x80, 0xbf, 4},
        {0xe0, 0xc0, 0x80, 0xbf, 2},
    };
    if (p[0] < 0x80)
        return p[0] != 0;
    if (p[0] < 0xc2)
        return 0;
    for (size_t i = 0; i < sizeof form / sizeof *form; i++) {
        if ((p[0] & form[i].mask) != form[i].lead)
            continue;
        if (left < form[i].n || p[1] < form[i].low || p[1] > form[i].high)
            return 0;
        for (size_t k = 2; k < form[i].n; k++)
            if ((p[k] & 0xc0) != 0x80)
                return 0;
        return form[i].n;
    }
    return 0;
}

size_t text_check_utf8(const char *text, size_t len)
{
    size_t i = 0;
    while (i < len) {
        size_t n = utf8_length((const unsigned char *)text + i, len - i);
        if (n == 0)
            return i;
        i += n;
    }
    return len;
}

uint32_t text_character(const char *text, size_t *bytes)
{
    unsigned char c = (unsigned char)*text;
    *bytes = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
    uint32_t value = *bytes == 1 ? c : c & (0x7fu >> *bytes);
    for (size_t i = 1; i < *bytes; i++)
        value = value << 6 | ((unsigned char)text[i] & 0x3f);
    return value;
}

bool text_is_hidden(uint32_t character)
{
    static const uint32_t ranges[][2] = {
        {0x00, 0x1f},     {0x7f, 0xa0},     {0xad, 0xad},     {0x61c, 0x61c},   {0x1680, 0x1680},
        {0x180e, 0x180e}, {0x2000, 0x200f}, {0x2028, 0x202f}, {0x205f, 0x206f}, {0x3000, 0x3000},
        {0x3164, 0x3164}, {0xfe00, 0xfe0f}, {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xe0000, 0xe0fff},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (character >= ranges[i][0] && character <= ranges[i][1])
            return true;
    return false;
}

size_t text_show(const char *text, size_t len, char shown[TEXT_SHOWN])
{
    size_t n = utf8_length((const unsigned char *)text, len);
    size_t bytes;
    uint32_t c = n ? text_character(text, &bytes) : 0;
    bool hidden = text_is_hidden(c);
    if (n <= 1 && hidden)
        snprintf(shown, TEXT_SHOWN, "\\x%02x", (unsigned char)*text);
    else if (hidden)
        snprintf(shown, TEXT_SHOWN, c < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)c);
    else
        snprintf(shown, TEXT_SHOWN, "%.*s", (int)n, text);
    return n ? n : 1;
}

void text_write_shown(FILE *out, const char *text)
{
    char shown[TEXT_SHOWN];
    for (size_t left = strlen(text), n; left; text += n, left -= n) {
        n = text_show(text, left, shown);
        fputs(shown, out);
    }
}

static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                            "_@+:,./-";

/* 'it'\''s'; where something is not shown as it is, $'a\033b'. */
void text_write_word(FILE *out, const char *word)
{
    char shown[TEXT_SHOWN];
    bool all = true, same;
    size_t left = strlen(word), n;
    if (*word && !word[strspn(word, plain)]) {
        fputs(word, out);
        return;
    }
    for (size_t i = 0; i < left; i += n) {
        n = text_show(word + i, left - i, shown);
        all = all && strlen(shown) == n;
    }
    fputs(all ? "'" : "$'", out);
    for (; left; word += n, left -= n) {
        n = text_show(word, left, shown);
        same = strlen(shown) == n && *word != '\'' && (all || *word != '\\');
        if (same)
            fputs(shown, out);
        else if (all)
            fputs("'\\''", out);
        for (size_t i = 0; i < n && !same && !all; i++)
            fprintf(out, "\\%03o", (unsigned char)word[i]);
    }
    fputc('\'', out);
}

bool text_equal(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

bool text_is_word(const char *text)
{
    if (!isalpha((unsigned char)*text) && *text != '_')
        return false;
    for (; *text; text++)
        if (!isalnum((unsigned char)*text) && *text != '_')
            return false;
    return true;
}

#define WORD_MAX 40

/* Edit distance with neighbours swapped counting once (optimal string alignment). */
static size_t edit_distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b), rows[3][WORD_MAX + 1];
    if (n > WORD_MAX || m > WORD_MAX)
        return WORD_MAX;
    size_t *old = rows[0], *prev = rows[1], *row = rows[2];
    for (size_t j = 0; j <= m; j++)
        prev[j] = j;
    for (size_t i = 1; i <= n; i++) {
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = prev[j - 1] + (a[i - 1] != b[j - 1]);
            if (prev[j] + 1 < best)
                best = prev[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                old[j - 2] + 1 < best)
                best = old[j - 2] + 1;
            row[j] = best;
        }
        size_t *t = old;
        old = prev, prev = row, row = t;
    }
    return prev[m];
}

struct suggest suggest_start(const char *word)
{
    size_t n = strlen(word), near = n / 3;
    return (struct suggest){word, NULL, (near > 0 ? near : 1) + 1};
}

/* What readers of other tools are used to writing. */
static const char *const synonyms[][2] = {
    {"num_experts", "experts"},
    {"n_experts", "experts"},
    {"expert_count", "experts"},
    {"k", "top_k"},
    {"topk", "top_k"},
    {"learning_rate", "lr"},
    {"wd", "weight_decay"},
    {"decay", "weight_decay"},
    {"bs", "batch"},
    {"batch_size", "batch"},
    {"mlp_ratio", "ratio"},
    {"num_classes", "classes"},
    {"n_classes", "classes"},
    {"depths", "depth"},
    {"layers", "depth"},
    {"width", "dim"},
    {"dims", "dim"},
    {"num_heads", "heads"},
    {"smoothing", "label_smoothing"},
    {"droppath", "drop_path"},
    {"capacity_factor", "capacity"},
    {"microbatch", "micro"},
    {"gate", "router"},
    {"kernel_size", "kernel"},
    {"out_features", "out"},
    {"out_channels", "out"},
    {"hflip", "flip"},
    {"warmup_epochs", "warmup"},
    {"optimizer", "optim"},
    {"optimiser", "optim"},
    {"scheduler", "schedule"},
    {"layer_norm", "layernorm"},
    {"dense", "linear"},
    {"fc", "linear"},
    {"conv2d", "conv"},
    {"swish", "silu"},
    {"renormalize", "renormalise"},
};

/* `reLU` is `relu`. */
static bool is_same(const char *word, const char *candidate)
{
    if (strcasecmp(word, candidate) == 0)
        return true;
    for (size_t i = 0; i < sizeof synonyms / sizeof *synonyms; i++)
        if (strcmp(synonyms[i][0], word) == 0 && strcmp(synonyms[i][1], candidate) == 0)
            return true;
    return false;
}

void suggest_add(struct suggest *s, const char *candidate)
{
    size_t d = is_same(s->word, candidate) ? 0 : edit_distance(s->word, candidate);
    if (d < s->distance)
        s->distance = d, s->best = candidate;
}

const char *text_float(struct arena *a, double value)
{
    char buffer[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(buffer, sizeof buffer, "%.*g", digits, value);
        if (strtod(buffer, NULL) == value)
            break;
    }
    if (isfinite(value) && !strpbrk(buffer, ".e"))
        strcat(buffer, ".0");
    return arena_copy(a, buffer, strlen(buffer));
}

void text_write_quoted(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else if (c == '\n')
            fputs("\\n", out);
        else if (c == '\t')
            fputs("\\t", out);
        else if (c < 0x20 || c == 0x7f)
            fprintf(out, "\\x%02x", c);
        else
            fputc(c, out);
    }
    fputc('"', out);
}
