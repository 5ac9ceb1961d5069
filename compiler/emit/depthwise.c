/* Depthwise convolutions, one vector of channels at a time and straight from the picture. A block
 * of outputs keeps its sums in registers while the lines of input that it reads pass, each input
 * loaded once a line for all the outputs and taps that it meets; the weight gradient keeps lines of
 * taps in registers instead. Where a block touches a border is known when it is emitted, so there
 * is no padding: what lies outside is left out. Each sum runs over its taps, or its positions, in
 * order, however the map is cut. */
#include "config.h"

#include "compiler/emit/emit.h"
#include "lang/base/arena.h"

#define MAX_ROWS 4

static V block_mask(struct emit *e, V part, int64_t C)
{
    return C % e->W ? mask_below(e, isub(e, ki(e, C), imulk(e, part, e->W))) : NULL;
}

/* One vector of channels: pointers to its first number. An input line is spread out by `up`, a
 * kernel may be turned round. */
struct depthwise {
    int64_t C, H, W, k, stride, pad, up, OH, OW;
    bool flip;
    V x, y, w, bias, mask;
};

/* Outputs of a line that are computed together: every up-th column from `phase`, n of them from the
 * first-th. Borders are as at `from`, which is known. */
struct run {
    int64_t phase, from, n;
    V first;
};

static void take(V *sum, const struct loop *l)
{
    for (int i = 0; i < l->n; i++)
        sum[i] = l->carry[i];
}

static int64_t wrap(int64_t v, int64_t by)
{
    return (v % by + by) % by;
}

/* Row r of a block of rows reads lines r * step .. r * step + span - 1: a bit for each row that
 * reads line j. */
static unsigned readers(int rows, int64_t step, int64_t span, int64_t j)
{
    unsigned set = 0;
    for (int r = 0; r < rows; r++)
        set |= (unsigned)(j >= r * step && j < r * step + span) << r;
    return set;
}

/* What one line of input adds to the sums of `rows` rows: w[r] are the line's taps for row r, NULL
 * if it reads them not. Each input is loaded once and stays in a register while taps need it. */
static void add_line(struct emit *e, const struct depthwise *d, const struct run *run, V line,
                     const V *w, int rows, V *sum)
{
    int64_t base = run->phase - d->pad, wide = (run->n - 1) * d->stride + d->k;
    V *column = arena_array(e->arena, (size_t)wide, sizeof *column), tap[MAX_ROWS];
    for (int64_t kx = wrap(-base, d->up); kx < d->k; kx += d->up) {
        int64_t shift = (base + kx) / d->up;
        for (int r = 0; r < rows; r++)
            tap[r] =
                w[r] ? vload(e, atk(e, w[r], (d->flip ? d->k - 1 - kx : kx) * e->W), NULL) : NULL;
        for (int64_t i = 0; i < run->n; i++) {
            int64_t c = i * d->stride + shift, known = run->from * d->stride + c;
            if (known < 0 || known >= d->W)
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

/* Where the lines of taps of output row y begin: its first tap that falls on a line of input, and
 * that line. */
struct start {
    V tap, line;
};

static struct start start_of(struct emit *e, const struct depthwise *d, V y)
{
    if (d->up == 1)
        return (struct start){ki(e, 0), iaddk(e, imulk(e, y, d->stride), -d->pad)};
    int64_t far = (d->pad + d->OH) * d->up; /* keeps divisions positive */
    V tap = irem(e, isub(e, ki(e, d->pad + far), y), ki(e, d->up));
    V line = idiv(e, iaddk(e, iadd(e, y, tap), far - d->pad), ki(e, d->up));
    return (struct start){tap, iaddk(e, line, -far / d->up)};
}

/* `rows` rows of a run of outputs from row y on. */
static void output_block(struct emit *e, const struct depthwise *d, const struct run *run, int rows,
                         V y)
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
    V x = at(e, d->x,
             imulk(e, iadd(e, imulk(e, s.line, d->W), imulk(e, run->first, d->stride)), d->C));
    for (int64_t from = 0, to; from < lines; from = to) {
        unsigned set = readers(rows, d->stride, span, from);
        for (to = from + 1; to < lines && readers(rows, d->stride, span, to) == set; to++)
            ;
        struct loop j;
        loop_begin(e, &j, imax(e, lo, ki(e, from)), imin(e, hi, ki(e, to)), 1, n, sum);
        take(sum, &j);
        for (int r = 0; r < rows; r++) {
            V ky = iadd(e, imulk(e, iaddk(e, j.i, -r * d->stride), d->up), s.tap);
            w[r] = set >> r & 1
                       ? at(e, d->w,
                            imulk(e, d->flip ? isub(e, ki(e, d->k - 1), ky) : ky, d->k * e->W))
                       : NULL;
        }
        add_line(e, d, run, at(e, x, imulk(e, j.i, d->W * d->C)), w, rows, sum);
        loop_end(e, &j, sum);
        take(sum, &j);
    }
    V to =
        at(e, d->y,
           imulk(e, iadd(e, imulk(e, y, d->OW), iaddk(e, imulk(e, run->first, d->up), run->phase)),
                 d->C));
    for (int i = 0; i < n; i++)
        vstore(e, sum[i], atk(e, to, (i / run->n * d->OW + i % run->n * d->up) * d->C), d->mask);
}

/* Where the whole runs of n outputs from `from` on that touch no border end. */
static int64_t inner_runs(const struct depthwise *d, int64_t phase, int64_t from, int64_t outputs,
                          int64_t n)
{
    int64_t base = phase - d->pad, step = d->stride * d->up, to = from;
    while (to + n <= outputs && to * step + base >= 0 &&
           (to + n - 1) * step + base + d->k - 1 < d->W * d->up)
        to += n;
    return to;
}

/* The outputs of one phase in rows [y, y + rows): runs inside the map share a loop, those at its
 * borders are written out. */
static void output_lines(struct emit *e, const struct depthwise *d, int64_t phase, int rows,
                         int64_t n, V y)
{
    int64_t outputs = (d->OW - phase + d->up - 1) / d->up;
    for (int64_t from = 0, to; from < outputs; from = to) {
        struct run run = {phase, from, from + n < outputs ? n : outputs - from, ki(e, from)};
        struct loop x;
        to = inner_runs(d, phase, from, outputs, n);
        to = to > from ? to : from + run.n;
        loop_begin(e, &x, run.first, ki(e, to), run.n, 0, NULL);
        run.first = x.i;
        output_block(e, d, &run, rows, y);
        loop_end(e, &x, NULL);
    }
}

/* Large kernels are much code already. */
static int most_rows(const struct depthwise *d, int64_t lines, bool shared)
{
    return !shared || d->k > 15 ? 1 : lines < MAX_ROWS ? (int)lines : MAX_ROWS;
}

/* Rows and columns of a block. Sums, the inputs that they share and a tap for each row must fit the
 * registers; a multiply-add takes four cycles and two start in each, so that fewer than eight sums
 * wait. */
struct block {
    int rows;
    int64_t n;
};

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
    for (int rows = 1; rows <= most_rows(d, d->OH, d->up == 1); rows++) {
        int64_t fits = (registers - rows) / (rows + shared);
        if (fits < 1)
            break;
        int64_t runs = (outputs + fits - 1) / fits, n = (outputs + runs - 1) / runs,
                cost = block_cost(d, rows, n, runs);
        if (!best || cost * 105 < best * 100) { /* more rows are more code */
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
    const struct dwconv_sizes *s = &k->call->size.dwconv;
    struct depthwise d = {.C = s->C,
                          .H = s->H,
                          .W = s->W,
                          .k = s->k,
                          .stride = s->stride,
                          .pad = s->pad,
                          .up = s->up,
                          .OH = s->OH,
                          .OW = s->OW,
                          .flip = s->flip};
    int64_t band = s->band, vectors = (d.C + e->W - 1) / e->W, bands = (d.OH + band - 1) / band;
    V first = imulk(e, irem(e, k->row, ki(e, bands)), band),
      end = imin(e, iaddk(e, first, band), ki(e, d.OH));
    V from = imulk(e, idiv(e, k->row, ki(e, bands)), s->group),
      to = imin(e, iaddk(e, from, s->group), ki(e, vectors));
    struct block b = choose_block(e, &d);
    struct loop image, v;
    loop_begin(e, &image, ki(e, 0), k->m, 1, 0, NULL);
    loop_begin(e, &v, from, to, 1, 0, NULL);
    V c = imulk(e, v.i, e->W);
    d.mask = block_mask(e, v.i, d.C);
    d.y = at(e, k->p.dwconv.y, iadd(e, imulk(e, image.i, d.OH * d.OW * d.C), c));
    d.x = at(e, k->p.dwconv.x, iadd(e, imulk(e, image.i, d.H * d.W * d.C), c));
    d.w = at(e, k->p.dwconv.w, imulk(e, c, d.k * d.k));
    d.bias = s->biased ? at(e, k->p.dwconv.bias, c) : NULL;
    V rest = output_rows(e, &d, b.rows, b.n, first, end);
    if (band % b.rows || d.OH % band % b.rows)
        output_rows(e, &d, 1, b.n, rest, end);
    loop_end(e, &v, NULL);
    loop_end(e, &image, NULL);
}

/* -- weight gradient -- */

/* A pass takes the taps [kx, kx + n) of `rows` lines of taps from ky on: a sum in a register for
 * each. */
struct pass {
    int rows;
    int64_t n, kx;
    V ky;
};

/* What one line of input adds to the sums: dy[r] is the line of dy that meets it under tap ky + r,
 * NULL if there is none. */
static void add_taps(struct emit *e, const struct depthwise *d, const struct run *run,
                     const struct pass *p, V line, const V *dy, V *sum)
{
    int64_t base = p->kx - d->pad;
    V *column = arena_array(e->arena, (size_t)((run->n - 1) * d->stride + p->n), sizeof *column),
      g[MAX_ROWS];
    for (int64_t i = 0; i < run->n; i++) {
        for (int r = 0; r < p->rows; r++)
            g[r] = dy[r] ? vload(e, atk(e, dy[r], i * d->C), d->mask) : NULL;
        for (int64_t t = 0; t < p->n; t++) {
            int64_t c = i * d->stride + base + t, known = run->from * d->stride + c;
            if (known < 0 || known >= d->W)
                continue;
            V *in = &column[i * d->stride + t];
            if (!*in)
                *in = vload(e, atk(e, line, c * d->C), d->mask);
            for (int r = 0; r < p->rows; r++)
                if (dy[r])
                    sum[r * p->n + t] = vfma(e, g[r], *in, sum[r * p->n + t]);
        }
    }
}

/* One line of input from its start, under the lines of dy that meet it. */
static void tap_line(struct emit *e, const struct depthwise *d, const struct pass *p, V line,
                     const V *dy, V *sum)
{
    int64_t turns = (d->OW + 15) / 16, n = (d->OW + turns - 1) / turns;
    for (int64_t from = 0, to; from < d->OW; from = to) {
        struct run run = {0, from, from + n < d->OW ? n : d->OW - from, ki(e, from)};
        struct loop x;
        int sums = p->rows * (int)p->n;
        V here[MAX_ROWS];
        to = inner_runs(d, 0, from, d->OW, n);
        to = to > from ? to : from + run.n;
        loop_begin(e, &x, ki(e, from), ki(e, to), run.n, sums, sum);
        take(sum, &x);
        for (int r = 0; r < p->rows; r++)
            here[r] = dy[r] ? at(e, dy[r], imulk(e, x.i, d->C)) : NULL;
        add_taps(e, d, &run, p, at(e, line, imulk(e, x.i, d->stride * d->C)), here, sum);
        loop_end(e, &x, sum);
        take(sum, &x);
    }
}

/* ceil(v / by), 0 if v is negative. */
static V turns_until(struct emit *e, V v, int64_t by)
{
    return idiv(e, iaddk(e, imax(e, v, ki(e, 0)), by - 1), ki(e, by));
}

/* A pass over one picture. Line u of the pass meets line u - r of dy under tap ky + r. */
static void tap_lines(struct emit *e, const struct depthwise *d, const struct pass *p, V *sum)
{
    V lo = turns_until(e, isub(e, ki(e, d->pad), p->ky), d->stride),
      hi = turns_until(e, isub(e, ki(e, d->H + d->pad), p->ky), d->stride);
    V x = at(e, d->x, imulk(e, iaddk(e, p->ky, -d->pad), d->W * d->C)), dy[MAX_ROWS];
    int64_t lines = d->OH + p->rows - 1;
    int sums = p->rows * (int)p->n;
    for (int64_t from = 0, to; from < lines; from = to) {
        unsigned set = readers(p->rows, 1, d->OH, from);
        for (to = from + 1; to < lines && readers(p->rows, 1, d->OH, to) == set; to++)
            ;
        struct loop u;
        loop_begin(e, &u, imax(e, lo, ki(e, from)), imin(e, hi, ki(e, to)), 1, sums, sum);
        take(sum, &u);
        for (int r = 0; r < p->rows; r++)
            dy[r] = set >> r & 1 ? at(e, d->y, imulk(e, iaddk(e, u.i, -r), d->OW * d->C)) : NULL;
        tap_line(e, d, p, at(e, x, imulk(e, u.i, d->stride * d->W * d->C)), dy, sum);
        loop_end(e, &u, sum);
        take(sum, &u);
    }
}

/* Add one picture to the sums at acc of `rows` lines of taps from ky on. */
static void tap_sums(struct emit *e, const struct depthwise *d, int rows, int64_t n, V ky, V acc)
{
    for (int64_t kx = 0; kx < d->k; kx += n) {
        struct pass p = {rows, kx + n < d->k ? n : d->k - kx, kx, ky};
        V sum[LOOP_CARRY], first = at(e, acc, imulk(e, iaddk(e, imulk(e, ky, d->k), kx), e->W));
        for (int i = 0; i < rows * p.n; i++)
            sum[i] = vload(e, atk(e, first, (i / p.n * d->k + i % p.n) * e->W), NULL);
        tap_lines(e, d, &p, sum);
        for (int i = 0; i < rows * p.n; i++)
            vstore(e, sum[i], atk(e, first, (i / p.n * d->k + i % p.n) * e->W), NULL);
    }
}

/* Rows and taps of a pass: see choose_block(). Only with a stride of one do lines of taps share a
 * line of input. */
static struct block choose_pass(struct emit *e, const struct depthwise *d)
{
    int64_t registers = e->W == 16 ? 32 : 16, best = 0;
    struct block b = {1, 1};
    for (int rows = 1; rows <= most_rows(d, d->k, d->stride == 1); rows++) {
        int64_t fits = (registers - rows) / (rows + 1), chunks = (d->k + fits - 1) / fits,
                n = (d->k + chunks - 1) / chunks, cost = 0;
        for (int64_t ky = 0; ky < d->k; ky += rows)
            for (int64_t kx = 0; kx < d->k; kx += n) {
                int64_t lines = d->k - ky < rows ? d->k - ky : rows,
                        sums = lines * (d->k - kx < n ? d->k - kx : n);
                cost += 2 * (sums < 8 ? 8 : sums) + lines + 1;
            }
        if (!best || cost * 105 < best * 100) {
            best = cost;
            b = (struct block){rows, n};
        }
    }
    return b;
}

/* Add dy's sum over a picture to acc, for the bias: eight sums take turns, so that none waits for
 * itself. */
static void plain_sum(struct emit *e, const struct depthwise *d, V acc)
{
    struct loop l;
    V sum[8];
    int64_t count = d->OH * d->OW, whole = count / 8 * 8;
    for (int i = 0; i < 8; i++)
        sum[i] = i ? vkf(e, 0) : vload(e, acc, NULL);
    loop_begin(e, &l, ki(e, 0), ki(e, whole), 8, 8, sum);
    for (int i = 0; i < 8; i++)
        sum[i] =
            vadd(e, l.carry[i], vload(e, at(e, d->y, imulk(e, iaddk(e, l.i, i), d->C)), d->mask));
    loop_end(e, &l, sum);
    for (int64_t i = 0; i < count - whole; i++)
        l.carry[i] = vadd(e, l.carry[i], vload(e, atk(e, d->y, (whole + i) * d->C), d->mask));
    for (int i = 1; i < 8; i++)
        l.carry[0] = vadd(e, l.carry[0], l.carry[i]);
    vstore(e, l.carry[0], acc, NULL);
}

/* `count` positions of one vector of channels, side by side. */
static V copy_vectors(struct emit *e, V to, V from, int64_t count, int64_t C, V mask)
{
    struct loop l;
    loop_begin(e, &l, ki(e, 0), ki(e, count), 1, 0, NULL);
    vstore(e, vload(e, at(e, from, imulk(e, l.i, C)), mask), at(e, to, imulk(e, l.i, e->W)), NULL);
    loop_end(e, &l, NULL);
    return to;
}

/* A small map is copied first: every pass reads it again, and columns far apart in memory would
 * share few sets of L1. */
static void picture_sums(struct emit *e, struct depthwise d, V scratch, bool biased, V acc)
{
    struct block b = choose_pass(e, &d);
    int64_t whole = d.k / b.rows * b.rows, positions = d.OH * d.OW;
    struct loop ky;
    if (scratch) {
        d.y = copy_vectors(e, scratch, d.y, positions, d.C, d.mask);
        d.x = copy_vectors(e, atk(e, scratch, positions * e->W), d.x, d.H * d.W, d.C, d.mask);
        d.C = e->W;
        d.mask = NULL;
    }
    loop_begin(e, &ky, ki(e, 0), ki(e, whole), b.rows, 0, NULL);
    tap_sums(e, &d, b.rows, b.n, ky.i, acc);
    loop_end(e, &ky, NULL);
    if (whole < d.k)
        tap_sums(e, &d, (int)(d.k - whole), b.n, ki(e, whole), acc);
    if (biased)
        plain_sum(e, &d, atk(e, acc, d.k * d.k * e->W));
}

void emit_dwconv_dw(struct emit *e, const struct kernel_args *k)
{
    const struct dwconv_dw_sizes *s = &k->call->size.dwconv_dw;
    struct depthwise d = {.C = s->C,
                          .H = s->H,
                          .W = s->W,
                          .k = s->k,
                          .stride = s->stride,
                          .pad = s->pad,
                          .up = 1,
                          .OH = s->OH,
                          .OW = s->OW};
    int64_t vectors = (d.C + e->W - 1) / e->W, numbers = d.k * d.k + 1;
    V from = imulk(e, k->row, s->group), to = imin(e, iaddk(e, from, s->group), ki(e, vectors));
    struct loop v, image;
    loop_begin(e, &v, from, to, 1, 0, NULL);
    V c = imulk(e, v.i, e->W), acc = at(e, k->p.dwconv_dw.sums, imulk(e, c, numbers));
    d.mask = block_mask(e, v.i, d.C);
    clear_floats(e, acc, ki(e, numbers * e->W));
    loop_begin(e, &image, ki(e, 0), k->m, 1, 0, NULL);
    d.y = at(e, k->p.dwconv_dw.dy, iadd(e, imulk(e, image.i, d.OH * d.OW * d.C), c));
    d.x = at(e, k->p.dwconv_dw.x, iadd(e, imulk(e, image.i, d.H * d.W * d.C), c));
    picture_sums(e, d, s->copied ? k->p.dwconv_dw.scratch : NULL, s->biased, acc);
    loop_end(e, &image, NULL);
    loop_end(e, &v, NULL);
}

/* The slices' vectors at x, added in their order. */
static V slice_sum(struct emit *e, V x, V slices, int64_t stride)
{
    struct loop l;
    V sum = vkf(e, 0);
    loop_begin(e, &l, ki(e, 0), slices, 1, 1, &sum);
    sum = vadd(e, l.carry[0], vload(e, at(e, x, imulk(e, l.i, stride)), NULL));
    loop_end(e, &l, &sum);
    return l.carry[0];
}

/* Sums (tap, lane) to dw (channel, tap) and db. */
void emit_dwconv_sum(struct emit *e, const struct kernel_args *k)
{
    const struct dwconv_sum_sizes *s = &k->call->size.dwconv_sum;
    int64_t taps = s->taps;
    V lanes_on = imin(e, ki(e, e->W), isub(e, ki(e, s->C), imulk(e, k->row, e->W))),
      mask = block_mask(e, k->row, s->C);
    V all = slot(e, e->f32, e->W);
    struct loop t, c;
    loop_begin(e, &t, ki(e, 0), ki(e, taps), 1, 0, NULL);
    vstore(e, slice_sum(e, at(e, k->p.dwconv_sum.sums, imulk(e, t.i, e->W)), k->m, s->stride), all,
           NULL);
    loop_begin(e, &c, ki(e, 0), lanes_on, 1, 0, NULL);
    V to = at(e, k->p.dwconv_sum.dw, iadd(e, imulk(e, c.i, taps), t.i));
    store(e, vadd(e, load(e, e->f32, to), load(e, e->f32, at(e, all, c.i))), to);
    loop_end(e, &c, NULL);
    loop_end(e, &t, NULL);
    if (s->biased)
        vstore(e,
               vadd(e, vload(e, k->p.dwconv_sum.db, mask),
                    slice_sum(e, atk(e, k->p.dwconv_sum.sums, taps * e->W), k->m, s->stride)),
               k->p.dwconv_sum.db, mask);
}
