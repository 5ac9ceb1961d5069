/* Depthwise convolutions work on one vector of channels of one picture: the channels are copied into a zero-padded map of their own,
 * so that no border needs care, and a run of outputs along a line keeps its sums in registers while the taps pass. */
#include "config.h"

#include "compiler/emit/emit.h"

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

struct depthwise { int64_t C, k, stride, OW, wide; bool flip; V map, w, bias, mask; };

/* `run` outputs of one line from column x on; y is the line in the map. */
static void depthwise_run(struct emit *e, const struct depthwise *d, int run, V y, V x, V to)
{
    V sum[LOOP_CARRY], start = d->bias ? vload(e, d->bias, d->mask) : vkf(e, 0);
    for (int i = 0; i < run; i++)
        sum[i] = start;
    struct loop ky;
    loop_begin(e, &ky, ki(e, 0), ki(e, d->k), 1, run, sum);
    for (int i = 0; i < run; i++)
        sum[i] = ky.carry[i];
    V line = at(e, d->map, imulk(e, iadd(e, imulk(e, iadd(e, y, ky.i), d->wide), imulk(e, x, d->stride)), e->W));
    for (int64_t kx = 0; kx < d->k; kx++) {
        V tap = iaddk(e, imulk(e, ky.i, d->k), kx);
        if (d->flip)
            tap = isub(e, ki(e, d->k * d->k - 1), tap);
        V w = vload(e, at(e, d->w, imulk(e, tap, e->W)), NULL);
        for (int i = 0; i < run; i++)
            sum[i] = vfma(e, vload(e, atk(e, line, (i * d->stride + kx) * e->W), NULL), w, sum[i]);
    }
    loop_end(e, &ky, sum);
    for (int i = 0; i < run; i++)
        vstore(e, ky.carry[i], atk(e, to, i * d->C), d->mask);
}

/* A run of 7 suits maps of 7, 14, 28 and 56; the rest of a line goes one by one. Sums do not depend on the run. */
static void depthwise_line(struct emit *e, const struct depthwise *d, V y, V to)
{
    int64_t run = d->OW < 8 ? d->OW : d->OW % 8 == 0 ? 8 : 7, whole = d->OW / run * run;
    struct loop x;
    loop_begin(e, &x, ki(e, 0), ki(e, whole), run, 0, NULL);
    depthwise_run(e, d, (int)run, y, x.i, at(e, to, imulk(e, x.i, d->C)));
    loop_end(e, &x, NULL);
    if (whole == d->OW)
        return;
    loop_begin(e, &x, ki(e, whole), ki(e, d->OW), 1, 0, NULL);
    depthwise_run(e, d, 1, y, x.i, at(e, to, imulk(e, x.i, d->C)));
    loop_end(e, &x, NULL);
}

void emit_dwconv(struct emit *e, const struct kernel_args *k)
{
    const int64_t *s = k->call->size;
    int64_t H = s[1], W = s[2], pad = s[5], up = s[6], OH = s[7];
    struct depthwise d = {.C = s[0], .k = s[3], .stride = s[4], .OW = s[8], .flip = s[9], .map = k->p[4], .w = k->p[2],
                          .bias = s[10] ? k->p[3] : NULL, .mask = block_mask(e, k->row, s[0])};
    d.wide = (d.OW - 1) * d.stride + d.k;
    struct map map = {(OH - 1) * d.stride + d.k, d.wide, pad, up, d.map};
    clear_floats(e, d.map, ki(e, (map.high * d.wide) * e->W));
    fill_map(e, &map, k->p[1], H, W, d.C, d.mask);
    struct loop y;
    loop_begin(e, &y, ki(e, 0), ki(e, OH), 1, 0, NULL);
    depthwise_line(e, &d, imulk(e, y.i, d.stride), at(e, k->p[0], imulk(e, y.i, d.OW * d.C)));
    loop_end(e, &y, NULL);
}

/* Sums of one line of taps ky over all outputs of a picture: acc[kx] += dy[y][x] * map[y*stride+ky][x*stride+kx]. Sixteen taps
 * at a time at most, so that the sums stay in registers. */
static void tap_sums(struct emit *e, const struct depthwise *d, V dy, V ky, int64_t OH, int64_t kx0, int taps, V acc)
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
static void plain_sum(struct emit *e, const struct depthwise *d, V dy, int64_t positions, V acc)
{
    struct loop l;
    V sum = vload(e, acc, NULL);
    loop_begin(e, &l, ki(e, 0), ki(e, positions), 1, 1, &sum);
    sum = vadd(e, l.carry[0], vload(e, at(e, dy, imulk(e, l.i, d->C)), d->mask));
    loop_end(e, &l, &sum);
    vstore(e, l.carry[0], acc, NULL);
}

/* The sums (tap, lane) to dw (channel, tap). */
static void spread_sums(struct emit *e, const struct depthwise *d, V dw, V db, V acc, V part)
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
    struct depthwise d = {.C = s[0], .k = s[3], .stride = s[4], .OW = s[7], .mask = block_mask(e, k->row, s[0])};
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
