/* Depthwise convolutions work on one vector of channels of one picture: the channels are copied into a zero-padded map of their own,
 * so that no border needs care, and a run of outputs along a line keeps its sums in registers while the taps pass. */
#include "config.h"

#include <stdlib.h>

#include "compiler/emit/emit.h"
#include "lang/base/arena.h"

#define MAX_ROWS 4

/* The channels of one picture into the middle of the padded map, `up` apart. x points at the first channel of the block. */
struct map { int64_t high, wide, pad, up; V p; };

static int64_t covered(int64_t size, int64_t room, int64_t pad, int64_t up)
{
    int64_t fits = (room - pad + up - 1) / up;          /* a stride may leave the last lines unread */
    return size < fits ? size : fits;
}

static void fill_map(struct emit *e, const struct map *m, V x, int64_t H, int64_t W, int64_t C, V mask)
{
    struct loop y, c;
    loop_begin(e, &y, ki(e, 0), ki(e, covered(H, m->high, m->pad, m->up)), 1, 0, NULL);
    loop_begin(e, &c, ki(e, 0), ki(e, covered(W, m->wide, m->pad, m->up)), 1, 0, NULL);
    V from = at(e, x, imulk(e, iadd(e, imulk(e, y.i, W), c.i), C));
    V to = iadd(e, imulk(e, iaddk(e, imulk(e, y.i, m->up), m->pad), m->wide), iaddk(e, imulk(e, c.i, m->up), m->pad));
    vstore(e, vload(e, from, mask), at(e, m->p, imulk(e, to, e->W)), NULL);
    loop_end(e, &c, NULL);
    loop_end(e, &y, NULL);
}

static V block_mask(struct emit *e, V part, int64_t C)
{
    return C % e->W ? mask_below(e, isub(e, ki(e, C), imulk(e, part, e->W))) : NULL;
}

/* One vector of channels: pointers to its first number. An input line is spread out by `up`, a kernel may be turned round. */
struct depthwise { int64_t C, H, W, k, stride, pad, up, OH, OW; bool flip; V x, y, w, bias, mask; };

/* Outputs of a line that are computed together: every up-th column from `phase`, n of them from the first-th. Borders are as at
 * `from`, which is known. */
struct run { int64_t phase, from, n; V first; };

static int64_t wrap(int64_t v, int64_t by)
{
    return (v % by + by) % by;
}

/* Row r of a block of rows reads lines r * step .. r * step + span - 1: a bit for each row that reads line j. */
static unsigned readers(int rows, int64_t step, int64_t span, int64_t j)
{
    unsigned set = 0;
    for (int r = 0; r < rows; r++)
        set |= (unsigned)(j >= r * step && j < r * step + span) << r;
    return set;
}

/* What one line of input adds to the sums of `rows` rows: w[r] are the line's taps for row r, NULL if it reads them not. Each input
 * is loaded once and stays in a register while taps need it. */
static void add_line(struct emit *e, const struct depthwise *d, const struct run *run, V line, const V *w, int rows, V *sum)
{
    int64_t base = run->phase - d->pad, wide = (run->n - 1) * d->stride + d->k;
    V *column = arena_array(e->arena, (size_t)wide, sizeof *column), tap[MAX_ROWS];
    for (int64_t kx = wrap(-base, d->up); kx < d->k; kx += d->up) {
        int64_t shift = (base + kx) / d->up;
        for (int r = 0; r < rows; r++)
            tap[r] = w[r] ? vload(e, atk(e, w[r], (d->flip ? d->k - 1 - kx : kx) * e->W), NULL) : NULL;
        for (int64_t i = 0; i < run->n; i++) {
            int64_t c = i * d->stride + shift, at_ = run->from * d->stride + c;
            if (at_ < 0 || at_ >= d->W)
                continue;
            V *in = &column[i * d->stride + kx / d->up];
            if (!*in)
                *in = vload(e, atk(e, line, c * d->C), d->mask);
            for (int r = 0; r < rows; r++)
                if (w[r])
                    sum[r * run->n + i] = vfma(e, *in, tap[r], sum[r * run->n + i]);
        }
    }
}

/* Where the lines of taps of output row y begin: its first tap that falls on a line of input, and that line. */
struct start { V tap, line; };

static struct start start_of(struct emit *e, const struct depthwise *d, V y)
{
    if (d->up == 1)
        return (struct start){ki(e, 0), iaddk(e, imulk(e, y, d->stride), -d->pad)};
    int64_t far = (llabs(d->pad) + d->OH) * d->up;       /* keeps divisions positive */
    V tap = irem(e, isub(e, ki(e, d->pad + far), y), ki(e, d->up));
    V line = idiv(e, iaddk(e, iadd(e, y, tap), far - d->pad), ki(e, d->up));
    return (struct start){tap, iaddk(e, line, -far / d->up)};
}

/* `rows` rows of a run of outputs from row y on. */
static void output_block(struct emit *e, const struct depthwise *d, const struct run *run, int rows, V y)
{
    V sum[LOOP_CARRY], w[MAX_ROWS];
    int n = rows * (int)run->n;
    for (int i = 0; i < n; i++)
        sum[i] = d->bias ? vload(e, d->bias, d->mask) : vkf(e, 0);
    struct start s = start_of(e, d, y);
    int64_t span = (d->k + d->up - 1) / d->up, lines = (rows - 1) * d->stride + span;
    V lo = imax(e, ki(e, 0), isub(e, ki(e, 0), s.line)), hi = isub(e, ki(e, d->H), s.line);
    if (d->up > 1)
        hi = imin(e, hi, idiv(e, isub(e, ki(e, d->k - 1 + d->up), s.tap), ki(e, d->up)));
    V x = at(e, d->x, imulk(e, iadd(e, imulk(e, s.line, d->W), imulk(e, run->first, d->stride)), d->C));
    for (int64_t from = 0, to; from < lines; from = to) {
        unsigned set = readers(rows, d->stride, span, from);
        for (to = from + 1; to < lines && readers(rows, d->stride, span, to) == set; to++)
            ;
        struct loop j;
        loop_begin(e, &j, imax(e, lo, ki(e, from)), imin(e, hi, ki(e, to)), 1, n, sum);
        for (int i = 0; i < n; i++)
            sum[i] = j.carry[i];
        for (int r = 0; r < rows; r++) {
            V ky = iadd(e, imulk(e, iaddk(e, j.i, -r * d->stride), d->up), s.tap);
            w[r] = set >> r & 1 ? at(e, d->w, imulk(e, d->flip ? isub(e, ki(e, d->k - 1), ky) : ky, d->k * e->W)) : NULL;
        }
        add_line(e, d, run, at(e, x, imulk(e, j.i, d->W * d->C)), w, rows, sum);
        loop_end(e, &j, sum);
        for (int i = 0; i < n; i++)
            sum[i] = j.carry[i];
    }
    V to = at(e, d->y, imulk(e, iadd(e, imulk(e, y, d->OW), iaddk(e, imulk(e, run->first, d->up), run->phase)), d->C));
    for (int i = 0; i < n; i++)
        vstore(e, sum[i], atk(e, to, (i / run->n * d->OW + i % run->n * d->up) * d->C), d->mask);
}

/* The outputs of one phase in rows [y, y + rows): runs inside the map share a loop, those at its borders are written out. */
static void output_lines(struct emit *e, const struct depthwise *d, int64_t phase, int rows, int64_t n, V y)
{
    int64_t outputs = (d->OW - phase + d->up - 1) / d->up, before = d->pad - phase, after = d->k - 1 - d->pad + phase;
    for (int64_t from = 0, to; from < outputs; from = to) {
        struct run run = {phase, from, from + n < outputs ? n : outputs - from, ki(e, from)};
        for (to = from; to + n <= outputs && to * d->stride * d->up >= before &&
                        (to + n - 1) * d->stride * d->up + after < d->W * d->up; to += n)
            ;
        if (to <= from + n) {
            output_block(e, d, &run, rows, y);
            to = from + run.n;
            continue;
        }
        struct loop x;
        loop_begin(e, &x, ki(e, from), ki(e, to), n, 0, NULL);
        run.first = x.i;
        output_block(e, d, &run, rows, y);
        loop_end(e, &x, NULL);
    }
}

/* Rows and columns of a block. Sums, the inputs that they share and a tap for each row must fit the registers; a multiply-add takes
 * four cycles and two start in each, so that fewer than eight sums wait. */
struct block { int rows; int64_t n; };

static int64_t block_cost(const struct depthwise *d, int rows, int64_t n, int64_t runs)
{
    int64_t cost = 0, lines = (rows - 1) * d->stride + d->k;
    for (int64_t j = 0; j < lines; j++) {
        int64_t active = __builtin_popcount(readers(rows, d->stride, d->k, j)), sums = active * n;
        cost += d->k * (sums < 8 ? 8 : sums) + (n - 1) * d->stride + d->k + active * d->k;
    }
    return cost * runs * 100 / rows;
}

static struct block choose_block(struct emit *e, const struct depthwise *d)
{
    int64_t registers = e->W == 16 ? 32 : 16, outputs = (d->OW + d->up - 1) / d->up, best = 0;
    int64_t shared = d->stride < d->k ? d->stride : 1;
    struct block b = {1, 1};
    for (int rows = 1; rows <= MAX_ROWS && rows <= d->OH && (rows == 1 || d->up == 1); rows++) {
        int64_t fits = (registers - rows) / (rows + shared);
        if (fits < 1)
            break;
        int64_t runs = (outputs + fits - 1) / fits, n = (outputs + runs - 1) / runs, cost = block_cost(d, rows, n, runs);
        if (!best || cost * 105 < best * 100) {          /* more rows are more code */
            best = cost;
            b = (struct block){rows, n};
        }
    }
    return b;
}

/* Rows from `first` on in whole blocks; returns the row after them. */
static V output_rows(struct emit *e, const struct depthwise *d, int rows, int64_t n, V first, V end)
{
    struct loop y;
    V whole = isub(e, end, irem(e, isub(e, end, first), ki(e, rows)));
    loop_begin(e, &y, first, whole, rows, 0, NULL);
    for (int64_t phase = 0; phase < d->up && phase < d->OW; phase++)
        output_lines(e, d, phase, rows, n, y.i);
    loop_end(e, &y, NULL);
    return whole;
}

void emit_dwconv(struct emit *e, const struct kernel_args *k)
{
    const int64_t *s = k->call->size;
    struct depthwise d = {.C = s[0], .H = s[1], .W = s[2], .k = s[3], .stride = s[4], .pad = s[5], .up = s[6], .OH = s[7],
                          .OW = s[8], .flip = s[9]};
    int64_t band = s[11], vectors = (d.C + e->W - 1) / e->W, bands = (d.OH + band - 1) / band;
    V first = imulk(e, irem(e, k->row, ki(e, bands)), band), end = imin(e, iaddk(e, first, band), ki(e, d.OH));
    V from = imulk(e, idiv(e, k->row, ki(e, bands)), s[12]), to = imin(e, iaddk(e, from, s[12]), ki(e, vectors));
    struct block b = choose_block(e, &d);
    struct loop image, v;
    loop_begin(e, &image, ki(e, 0), k->m, 1, 0, NULL);
    loop_begin(e, &v, from, to, 1, 0, NULL);
    V c = imulk(e, v.i, e->W);
    d.mask = block_mask(e, v.i, d.C);
    d.y = at(e, k->p[0], iadd(e, imulk(e, image.i, d.OH * d.OW * d.C), c));
    d.x = at(e, k->p[1], iadd(e, imulk(e, image.i, d.H * d.W * d.C), c));
    d.w = at(e, k->p[2], imulk(e, c, d.k * d.k));
    d.bias = s[10] ? at(e, k->p[3], c) : NULL;
    V rest = output_rows(e, &d, b.rows, b.n, first, end);
    if (band % b.rows || d.OH % band % b.rows)
        output_rows(e, &d, 1, b.n, rest, end);
    loop_end(e, &v, NULL);
    loop_end(e, &image, NULL);
}

struct padded { int64_t C, k, stride, OW, wide; V map, mask; };

/* Sums of one line of taps ky over all outputs of a picture: acc[kx] += dy[y][x] * map[y*stride+ky][x*stride+kx]. Sixteen taps
 * at a time at most, so that the sums stay in registers. */
static void tap_sums(struct emit *e, const struct padded *d, V dy, V ky, int64_t OH, int64_t kx0, int taps, V acc)
{
    struct loop y, x;
    V sum[LOOP_CARRY];
    for (int i = 0; i < taps; i++)
        sum[i] = vload(e, atk(e, acc, (kx0 + i) * e->W), NULL);
    loop_begin(e, &y, ki(e, 0), ki(e, OH), 1, taps, sum);
    V line = at(e, d->map, imulk(e, iaddk(e, imulk(e, iadd(e, imulk(e, y.i, d->stride), ky), d->wide), kx0), e->W));
    V from = at(e, dy, imulk(e, y.i, d->OW * d->C));
    loop_begin(e, &x, ki(e, 0), ki(e, d->OW), 1, taps, y.carry);
    V g = vload(e, at(e, from, imulk(e, x.i, d->C)), d->mask);
    V here = at(e, line, imulk(e, x.i, d->stride * e->W));
    for (int i = 0; i < taps; i++)
        sum[i] = vfma(e, g, vload(e, atk(e, here, (int64_t)i * e->W), NULL), x.carry[i]);
    loop_end(e, &x, sum);
    loop_end(e, &y, x.carry);
    for (int i = 0; i < taps; i++)
        vstore(e, y.carry[i], atk(e, acc, (kx0 + i) * e->W), NULL);
}

/* The sum of dy over a picture, for the bias. */
static void plain_sum(struct emit *e, const struct padded *d, V dy, int64_t positions, V acc)
{
    struct loop l;
    V sum = vload(e, acc, NULL);
    loop_begin(e, &l, ki(e, 0), ki(e, positions), 1, 1, &sum);
    sum = vadd(e, l.carry[0], vload(e, at(e, dy, imulk(e, l.i, d->C)), d->mask));
    loop_end(e, &l, &sum);
    vstore(e, l.carry[0], acc, NULL);
}

/* The sums (tap, lane) to dw (channel, tap). */
static void spread_sums(struct emit *e, const struct padded *d, V dw, V db, V acc, V part)
{
    int64_t taps = d->k * d->k;
    struct loop t, c;
    V channels = imin(e, ki(e, e->W), isub(e, ki(e, d->C), imulk(e, part, e->W)));
    loop_begin(e, &c, ki(e, 0), channels, 1, 0, NULL);
    loop_begin(e, &t, ki(e, 0), ki(e, taps), 1, 0, NULL);
    V to = at(e, dw, iadd(e, imulk(e, c.i, taps), t.i));
    store(e, vadd(e, load(e, e->f32, to), load(e, e->f32, at(e, acc, iadd(e, imulk(e, t.i, e->W), c.i)))), to);
    loop_end(e, &t, NULL);
    loop_end(e, &c, NULL);
    if (db)
        vstore(e, vadd(e, vload(e, db, d->mask), vload(e, atk(e, acc, taps * e->W), NULL)), db, d->mask);
}

void emit_dwconv_dw(struct emit *e, const struct kernel_args *k)
{
    const int64_t *s = k->call->size;
    int64_t H = s[1], W = s[2], pad = s[5], OH = s[6];
    struct padded d = {.C = s[0], .k = s[3], .stride = s[4], .OW = s[7], .mask = block_mask(e, k->row, s[0])};
    d.wide = (d.OW - 1) * d.stride + d.k;
    d.map = k->p[4];
    struct map map = {(OH - 1) * d.stride + d.k, d.wide, pad, 1, d.map};
    V acc = atk(e, d.map, map.high * d.wide * e->W);
    clear_floats(e, d.map, ki(e, (map.high * d.wide + d.k * d.k + 1) * e->W));
    struct loop b, ky;
    loop_begin(e, &b, ki(e, 0), k->m, 1, 0, NULL);
    V dy = at(e, k->p[2], imulk(e, b.i, OH * d.OW * d.C));
    fill_map(e, &map, at(e, k->p[3], imulk(e, b.i, H * W * d.C)), H, W, d.C, d.mask);
    loop_begin(e, &ky, ki(e, 0), ki(e, d.k), 1, 0, NULL);
    for (int64_t kx = 0; kx < d.k; kx += 16)
        tap_sums(e, &d, dy, ky.i, OH, kx, (int)(d.k - kx < 16 ? d.k - kx : 16), at(e, acc, imulk(e, ky.i, d.k * e->W)));
    loop_end(e, &ky, NULL);
    if (s[8])
        plain_sum(e, &d, dy, OH * d.OW, atk(e, acc, d.k * d.k * e->W));
    loop_end(e, &b, NULL);
    spread_sums(e, &d, k->p[0], s[8] ? k->p[1] : NULL, acc, k->row);
}
