/* Mutations. Input: bytes, donors, random numbers. Output: the bytes, damaged. */
#include "tests/fuzz/mutate.h"

#include <ctype.h>
#include <glob.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_ROOM = 64 << 10 };

/* Values at the edges of what numbers, units and names can be. */
static const char *const extremes[] = {
    "0",
    "1",
    "-1",
    "2",
    "3",
    "7",
    "30",
    "100",
    "300",
    "1000",
    "9999",
    "0.5",
    "1e-308",
    "1e308",
    "1e400",
    "-1e9",
    "65536",
    "1_000_000",
    "2147483647",
    "2147483648",
    "4294967296",
    "4611686018427387904",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "340282366920938463463374607431768211456",
    "0px",
    "1px",
    "224px",
    "65536px",
    "99999999px",
    "0%",
    "100%",
    "250%",
    "1e9%",
    "1 epoch",
    "1e18 epochs",
    "0 images",
    "1e18 images",
    "8 images",
    "1GiB",
    "1e12GiB",
    "1B",
    "nan",
    "inf",
    "1 / 0",
    "[]",
    "[1, 2, 3]",
    "\"\"",
    "\"x\"",
    "true",
    "dim",
    "2 * dim",
    "dim * dim * dim * dim",
    "classes",
    "$experts",
    "$",
    "last(1)",
};

/* -- random numbers -- */

static uint64_t next(struct fuzz_random *r)
{
    uint64_t x = r->state += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

struct fuzz_random fuzz_random_start(uint64_t seed, uint64_t index)
{
    struct fuzz_random r = {seed};
    r.state = next(&r) ^ index * 0xd1342543de82ef95u;
    next(&r);
    return r;
}

uint64_t fuzz_below(struct fuzz_random *r, uint64_t n)
{
    return n ? next(r) % n : 0;
}

/* -- bytes -- */

struct fuzz_bytes fuzz_bytes_new(size_t room)
{
    struct fuzz_bytes b = {malloc(room + 1), 0, room};
    if (!b.data)
        abort();
    b.data[0] = '\0';
    return b;
}

void fuzz_bytes_free(struct fuzz_bytes *b)
{
    free(b->data);
    *b = (struct fuzz_bytes){0};
}

void fuzz_bytes_set(struct fuzz_bytes *b, const void *data, size_t size)
{
    b->size = 0;
    fuzz_replace(b, 0, 0, data, size);
}

void fuzz_replace(struct fuzz_bytes *b, size_t at, size_t count, const void *with, size_t size)
{
    if (at > b->size)
        at = b->size;
    if (count > b->size - at)
        count = b->size - at;
    if (size > b->room - at)
        size = b->room - at;
    size_t rest = b->size - at - count;
    if (rest > b->room - at - size)
        rest = b->room - at - size;
    memmove(b->data + at + size, b->data + at + count, rest);
    if (size)
        memcpy(b->data + at, with, size);
    b->size = at + size + rest;
    b->data[b->size] = '\0';
}

/* A copy of the piece may be put anywhere, also over itself. */
static void replace_by_own(struct fuzz_bytes *b, size_t at, size_t count, size_t from, size_t size)
{
    char *piece = malloc(size + 1);
    if (!piece)
        abort();
    memcpy(piece, b->data + from, size);
    fuzz_replace(b, at, count, piece, size);
    free(piece);
}

/* -- corpus -- */

static void read_file(struct fuzz_file *f, const char *path)
{
    FILE *in = fopen(path, "rb");
    *f = (struct fuzz_file){strdup(path), fuzz_bytes_new(FILE_ROOM)};
    if (!in || !f->path) {
        perror(path);
        exit(99);
    }
    f->bytes.size = fread(f->bytes.data, 1, FILE_ROOM, in);
    f->bytes.data[f->bytes.size] = '\0';
    fclose(in);
}

void fuzz_corpus_add(struct fuzz_corpus *c, const char *folder, const char *pattern)
{
    char path[4096];
    glob_t found;
    snprintf(path, sizeof path, "%s/%s", folder, pattern);
    if (glob(path, 0, NULL, &found) != 0) {
        fprintf(stderr, "no file matches %s\n", path);
        exit(99);
    }
    c->files = realloc(c->files, (c->n + found.gl_pathc) * sizeof *c->files);
    if (!c->files)
        abort();
    for (size_t i = 0; i < found.gl_pathc; i++)
        read_file(&c->files[c->n++], found.gl_pathv[i]);
    globfree(&found);
}

void fuzz_corpus_free(struct fuzz_corpus *c)
{
    for (size_t i = 0; i < c->n; i++) {
        free(c->files[i].path);
        fuzz_bytes_free(&c->files[i].bytes);
    }
    free(c->files);
}

/* -- pieces of a text -- */

struct piece {
    size_t at, size;
};

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '$';
}

/* The line around a random byte, with its newline. */
static struct piece random_line(const struct fuzz_bytes *b, struct fuzz_random *r)
{
    size_t from = fuzz_below(r, b->size), to = from;
    while (from > 0 && b->data[from - 1] != '\n')
        from--;
    while (to < b->size && b->data[to] != '\n')
        to++;
    if (to < b->size)
        to++;
    return (struct piece){from, to - from};
}

/* The first token at or behind a random byte: a word, a number, or one other character. */
static struct piece random_token(const struct fuzz_bytes *b, struct fuzz_random *r)
{
    size_t at = fuzz_below(r, b->size);
    while (at > 0 && is_word(b->data[at]) && is_word(b->data[at - 1]))
        at--;
    while (at < b->size && isspace((unsigned char)b->data[at]))
        at++;
    size_t to = at;
    while (to < b->size && is_word(b->data[to]))
        to++;
    if (to == at && to < b->size)
        to++;
    return (struct piece){at, to - at};
}

/* A token that begins with a digit, or any other after some tries. A sign, a point or a unit may
 * stay beside it. */
static struct piece random_number(const struct fuzz_bytes *b, struct fuzz_random *r)
{
    struct piece p = {0, 0};
    for (int i = 0; i < 40; i++) {
        p = random_token(b, r);
        if (p.size && isdigit((unsigned char)b->data[p.at]))
            break;
    }
    return p;
}

static const struct fuzz_bytes *random_donor(const struct fuzz_corpus *donors,
                                             struct fuzz_random *r)
{
    return &donors->files[fuzz_below(r, donors->n)].bytes;
}

static const char *random_extreme(struct fuzz_random *r)
{
    return extremes[fuzz_below(r, sizeof extremes / sizeof *extremes)];
}

/* -- mutations of any bytes -- */

static void flip_bit(struct fuzz_bytes *b, const struct fuzz_corpus *donors, struct fuzz_random *r)
{
    (void)donors;
    if (b->size)
        b->data[fuzz_below(r, b->size)] ^= (char)(1 << fuzz_below(r, 8));
}

static void set_byte(struct fuzz_bytes *b, const struct fuzz_corpus *donors, struct fuzz_random *r)
{
    (void)donors;
    if (b->size)
        b->data[fuzz_below(r, b->size)] = (char)fuzz_below(r, 256);
}

static void insert_byte(struct fuzz_bytes *b, const struct fuzz_corpus *donors,
                        struct fuzz_random *r)
{
    char c = (char)fuzz_below(r, 256);
    (void)donors;
    fuzz_replace(b, fuzz_below(r, b->size + 1), 0, &c, 1);
}

static void delete_range(struct fuzz_bytes *b, const struct fuzz_corpus *donors,
                         struct fuzz_random *r)
{
    (void)donors;
    fuzz_replace(b, fuzz_below(r, b->size), 1 + fuzz_below(r, 16), NULL, 0);
}

static void copy_range(struct fuzz_bytes *b, const struct fuzz_corpus *donors,
                       struct fuzz_random *r)
{
    size_t from = fuzz_below(r, b->size), size = fuzz_below(r, 64);
    (void)donors;
    if (size > b->size - from)
        size = b->size - from;
    replace_by_own(b, fuzz_below(r, b->size + 1), fuzz_below(r, 2) * size, from, size);
}

static void truncate_end(struct fuzz_bytes *b, const struct fuzz_corpus *donors,
                         struct fuzz_random *r)
{
    (void)donors;
    fuzz_replace(b, fuzz_below(r, b->size), b->size, NULL, 0);
}

/* A number of 1, 2, 4 or 8 bytes, of either order, at an edge of its range. */
static void set_number(struct fuzz_bytes *b, const struct fuzz_corpus *donors,
                       struct fuzz_random *r)
{
    static const uint64_t edges[] = {0,      1,          0x7f,       0xff,      0x7fff,
                                     0xffff, 0x7fffffff, 0xffffffff, INT64_MAX, UINT64_MAX};
    size_t width = (size_t)1 << fuzz_below(r, 4);
    uint64_t v = edges[fuzz_below(r, sizeof edges / sizeof *edges)] - fuzz_below(r, 3);
    bool swap = fuzz_below(r, 2);
    char bytes[8];
    (void)donors;
    for (size_t i = 0; i < width; i++)
        bytes[i] = (char)(v >> 8 * (swap ? width - 1 - i : i));
    fuzz_replace(b, fuzz_below(r, b->size), width, bytes, width);
}

/* A digit becomes another one: headers written in text keep their form. */
static void change_digit(struct fuzz_bytes *b, const struct fuzz_corpus *donors,
                         struct fuzz_random *r)
{
    (void)donors;
    for (size_t at = fuzz_below(r, b->size); at < b->size; at++)
        if (isdigit((unsigned char)b->data[at])) {
            b->data[at] = (char)('0' + fuzz_below(r, 10));
            return;
        }
}

/* -- mutations of texts -- */

static void swap_tokens(struct fuzz_bytes *b, const struct fuzz_corpus *donors,
                        struct fuzz_random *r)
{
    struct piece p = random_token(b, r), q = random_token(b, r);
    (void)donors;
    if (q.at < p.at) {
        struct piece t = p;
        p = q;
        q = t;
    }
    if (p.at + p.size > q.at)
        return;
    char *first = strndup(b->data + p.at, p.size);
    if (!first)
        abort();
    replace_by_own(b, p.at, p.size, q.at, q.size);
    fuzz_replace(b, q.at + q.size - p.size, q.size, first, strlen(first));
    free(first);
}

static void take_token(struct fuzz_bytes *b, const struct fuzz_corpus *donors,
                       struct fuzz_random *r)
{
    const struct fuzz_bytes *d = random_donor(donors, r);
    struct piece to = random_token(b, r), from = random_token(d, r);
    if (d != b)
        fuzz_replace(b, to.at, fuzz_below(r, 4) ? to.size : 0, d->data + from.at, from.size);
}

static void delete_line(struct fuzz_bytes *b, const struct fuzz_corpus *donors,
                        struct fuzz_random *r)
{
    struct piece p = random_line(b, r);
    (void)donors;
    fuzz_replace(b, p.at, p.size, NULL, 0);
}

static void copy_line(struct fuzz_bytes *b, const struct fuzz_corpus *donors, struct fuzz_random *r)
{
    struct piece p = random_line(b, r), q = random_line(b, r);
    (void)donors;
    replace_by_own(b, q.at, fuzz_below(r, 2) * q.size, p.at, p.size);
}

static void take_lines(struct fuzz_bytes *b, const struct fuzz_corpus *donors,
                       struct fuzz_random *r)
{
    const struct fuzz_bytes *d = random_donor(donors, r);
    struct piece to = random_line(b, r), from = random_line(d, r);
    for (uint64_t n = fuzz_below(r, 6); n > 0 && from.at + from.size < d->size; n--) {
        const char *end =
            memchr(d->data + from.at + from.size, '\n', d->size - from.at - from.size);
        from.size = end ? (size_t)(end + 1 - d->data) - from.at : d->size - from.at;
    }
    fuzz_replace(b, to.at, fuzz_below(r, 2) * to.size, d->data + from.at, from.size);
}

static void blow_up_number(struct fuzz_bytes *b, const struct fuzz_corpus *donors,
                           struct fuzz_random *r)
{
    struct piece p = random_number(b, r);
    const char *with = random_extreme(r);
    (void)donors;
    fuzz_replace(b, p.at, p.size, with, strlen(with));
}

/* A small change of a number: what stays plausible goes deeper into the compiler. */
static void nudge_number(struct fuzz_bytes *b, const struct fuzz_corpus *donors,
                         struct fuzz_random *r)
{
    struct piece p = random_number(b, r);
    char text[32];
    (void)donors;
    size_t digits = strspn(b->data + p.at, "0123456789");
    if (digits == 0 || digits > 9)
        return;
    long v = strtol(b->data + p.at, NULL, 10), change = (long)fuzz_below(r, 9) - 4;
    int n = snprintf(text, sizeof text, "%ld", fuzz_below(r, 3) ? v + change : v * (change + 4));
    fuzz_replace(b, p.at, digits, text, (size_t)n);
}

/* One line or token many times: long lists, deep nesting. */
static void repeat(struct fuzz_bytes *b, const struct fuzz_corpus *donors, struct fuzz_random *r)
{
    struct piece p = fuzz_below(r, 2) ? random_line(b, r) : random_token(b, r);
    size_t times = (size_t)1 << fuzz_below(r, 13);
    (void)donors;
    for (size_t have = 1; p.size && have < times && b->size < b->room; have *= 2)
        replace_by_own(b, p.at, 0, p.at, p.size * have);
}

/* Brackets around a token, many deep. */
static void nest(struct fuzz_bytes *b, const struct fuzz_corpus *donors, struct fuzz_random *r)
{
    static const char *const pairs[][2] = {
        {"(", ")"},
        {"[", "]"},
        {"not ", ""},
        {"residual {\n", "}\n"},
        {"-", ""},
        {"1 + (", ")"},
        {"sum { branch {\n", "} }\n"},
        {"if true then ", " else 0"},
        {"last(1, of: ", ")"},
        {"slot x {\n", "}\n"},
    };
    struct piece p = fuzz_below(r, 2) ? random_token(b, r) : random_line(b, r);
    const char *const *pair = pairs[fuzz_below(r, sizeof pairs / sizeof *pairs)];
    (void)donors;
    for (size_t times = (size_t)1 << fuzz_below(r, 11); times > 0; times--) {
        fuzz_replace(b, p.at + p.size, 0, pair[1], strlen(pair[1]));
        fuzz_replace(b, p.at, 0, pair[0], strlen(pair[0]));
        p.size += strlen(pair[0]);
    }
}

struct mutation {
    unsigned weight;
    void (*apply)(struct fuzz_bytes *b, const struct fuzz_corpus *donors, struct fuzz_random *r);
};

static const struct mutation of_texts[] = {
    {2, flip_bit},     {1, set_byte},       {1, insert_byte},  {2, delete_range}, {1, copy_range},
    {1, truncate_end}, {3, swap_tokens},    {4, take_token},   {4, delete_line},  {3, copy_line},
    {4, take_lines},   {6, blow_up_number}, {8, nudge_number}, {1, repeat},       {1, nest},
};

static const struct mutation of_files[] = {
    {6, flip_bit},   {4, set_byte},     {1, insert_byte}, {2, delete_range},
    {2, copy_range}, {1, truncate_end}, {4, set_number},  {3, change_digit},
};

static void apply_one(const struct mutation *table, size_t n, struct fuzz_bytes *b,
                      const struct fuzz_corpus *donors, struct fuzz_random *r)
{
    unsigned total = 0;
    for (size_t i = 0; i < n; i++)
        total += table[i].weight;
    uint64_t pick = fuzz_below(r, total);
    for (; pick >= table->weight; table++)
        pick -= table->weight;
    if (b->size)
        table->apply(b, donors, r);
}

void fuzz_mutate_text(struct fuzz_bytes *b, const struct fuzz_corpus *donors, struct fuzz_random *r)
{
    apply_one(of_texts, sizeof of_texts / sizeof *of_texts, b, donors, r);
}

void fuzz_mutate_binary(struct fuzz_bytes *b, struct fuzz_random *r)
{
    apply_one(of_files, sizeof of_files / sizeof *of_files, b, NULL, r);
}

size_t fuzz_assignment(const struct fuzz_bytes *b, struct fuzz_random *r, char *out, size_t room)
{
    for (int i = 0; i < 20; i++) {
        struct piece p = random_line(b, r);
        const char *line = b->data + p.at, *equals = memchr(line, '=', p.size);
        if (!equals)
            continue;
        int left = (int)strspn(line, " "), name = (int)(equals - line) - left;
        int value = (int)(p.size - (size_t)(equals - line)) - 1;
        while (name > 0 && line[left + name - 1] == ' ')
            name--;
        while (value > 0 && isspace((unsigned char)equals[value]))
            value--;
        bool other = fuzz_below(r, 2);
        const char *text = other ? random_extreme(r) : equals + 1;
        int n = snprintf(out, room, "%.*s=%.*s", name, line + left,
                         other ? (int)strlen(text) : value, text);
        return n > 0 && (size_t)n < room ? (size_t)n : 0;
    }
    return 0;
}
