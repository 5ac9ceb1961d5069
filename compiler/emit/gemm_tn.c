/* Weight gradients: dw (N,K) += dy^T x over all rows, one block of dw's rows and columns a task.
 *
 * Rows of dy and x pass in chunks: a chunk of dy is packed in blocks of as many columns as a
 * register block has rows, a chunk of x in panels of its width, while the next chunk is on its way
 * to L2. The sums of a chunk are added to dw, chunks in their order. Where the target has no fused
 * multiply-add the runtime's product is called instead. */
#include "config.h"

#include <stddef.h>

#include "compiler/emit/emit.h"
#include "compiler/plan/lower.h"

struct column_sum {
    V dy, db, m;
    int64_t ldy;
};

static void sum_columns(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct column_sum *s = data;
    struct loop l;
    (void)carry;
    V sum = vload(e, at(e, s->db, i), mask), from = at(e, s->dy, i);
    loop_begin(e, &l, ki(e, 0), s->m, 1, 1, &sum);
    sum = vadd(e, l.carry[0], vload(e, at(e, from, imulk(e, l.i, s->ldy)), mask));
    loop_end(e, &l, &sum);
    vstore(e, l.carry[0], at(e, s->db, i), mask);
}

static void call_gemm_tn(struct emit *e, V c, int64_t ldc, V a, int64_t lda, V b, int64_t ldb, V m,
                         V n, V k)
{
    V f = LLVMGetNamedFunction(e->module, "vrt_gemm_tn");
    LLVMBuildCall2(e->b, LLVMGlobalGetValueType(f), f,
                   (V[]){c, ki(e, ldc), a, ki(e, lda), b, ki(e, ldb), m, n, k}, 9, "");
}

/* The columns k0 .. k0 + columns of dw (n, I, taps) += col (n, wide), whose columns are (tap, i),
 * for `rows` n. */
static void unpatch(struct emit *e, V dw, V col, V rows, V k0, V columns,
                    const struct linear_dw_sizes *s)
{
    int64_t taps = s->taps, I = s->I, wide = s->wide;
    struct loop n, k;
    loop_begin(e, &k, ki(e, 0), columns, 1, 0, NULL);
    V column = iadd(e, k0, k.i), t = idiv(e, column, ki(e, I)), i = irem(e, column, ki(e, I));
    V first = at(e, dw, iadd(e, imulk(e, i, taps), t));
    loop_begin(e, &n, ki(e, 0), rows, 1, 0, NULL);
    V to = at(e, first, imulk(e, n.i, taps * I)),
      from = at(e, col, iadd(e, imulk(e, n.i, wide), k.i));
    store(e, vadd(e, load(e, e->f32, to), load(e, e->f32, from)), to);
    loop_end(e, &n, NULL);
    loop_end(e, &k, NULL);
}

struct gradient {
    int64_t ldw, ldy, ldx, panel, high,
        block;    /* high: rows of dw in a register block; block: in a task */
    int64_t tail; /* columns of dw's last panel if it is not whole, else 0 */
    bool turns;   /* see struct ahead */
    /* from where this task's part begins; all rows of dy and x; db: NULL if there is none */
    V dw, db, dy, x, m;
    V rows, columns, biased; /* of the part; the rows whose db is this task's */
    V packed_dy, packed_x;
};

/* Distances in the packed factors, in numbers: a line more than they take, for at a power of two
 * they would share the ways of a cache. */
static int64_t panel_size(const struct gradient *g)
{
    return TILE_DW_CHUNK * g->panel + 16;
}

static int64_t block_size(const struct gradient *g)
{
    return TILE_DW_CHUNK * g->high + 16;
}

static V packed_block(struct emit *e, const struct gradient *g, V n)
{
    return at(e, g->packed_dy, imulk(e, idiv(e, n, ki(e, g->high)), block_size(g)));
}

static V packed_panel(struct emit *e, const struct gradient *g, V k)
{
    return at(e, g->packed_x, imulk(e, idiv(e, k, ki(e, g->panel)), panel_size(g)));
}

/* Columns from .. to of a chunk of dy, in blocks that have those of `mask`. */
static void pack_blocks(struct emit *e, const struct gradient *g, V first, V count, V from, V to,
                        V mask)
{
    struct loop i, b;
    loop_begin(e, &i, ki(e, 0), count, 1, 0, NULL);
    V row = at(e, g->dy, imulk(e, iadd(e, first, i.i), g->ldy)), offset = imulk(e, i.i, g->high);
    loop_begin(e, &b, from, to, g->high, 0, NULL);
    vstore(e, vload(e, at(e, row, b.i), mask), at(e, packed_block(e, g, b.i), offset), NULL);
    loop_end(e, &b, NULL);
    loop_end(e, &i, NULL);
}

/* dy chunk to blocks [block][row][high], a row of dy at a time; columns past the end are zero.
 * Whole vectors are stored, for some processors take ten times as long over a part of one: the rest
 * of it is where the next row begins, or the line between blocks. */
static void pack_dy(struct emit *e, const struct gradient *g, V first, V count)
{
    V whole = isub(e, g->rows, irem(e, g->rows, ki(e, g->high)));
    pack_blocks(e, g, first, count, ki(e, 0), whole, mask_below(e, ki(e, g->high)));
    pack_blocks(e, g, first, count, whole, g->rows, mask_below(e, isub(e, g->rows, whole)));
}

/* db += the rows of a packed chunk, in their order. */
static void sum_bias(struct emit *e, const struct gradient *g, V count)
{
    struct loop b, i;
    loop_begin(e, &b, ki(e, 0), g->biased, g->high, 0, NULL);
    V mine = mask_below(e, imin(e, ki(e, g->high), isub(e, g->biased, b.i))),
      from = packed_block(e, g, b.i);
    V db = at(e, g->db, b.i), sum = vload(e, db, mine);
    loop_begin(e, &i, ki(e, 0), count, 1, 1, &sum);
    sum = vadd(e, i.carry[0], vload(e, at(e, from, imulk(e, i.i, g->high)), NULL));
    loop_end(e, &i, &sum);
    vstore(e, i.carry[0], db, mine);
    loop_end(e, &b, NULL);
}

/* A panel's vectors, and the columns that the last of them has, NULL: all. */
struct width {
    int vectors;
    V mask;
};

static struct width width_of(struct emit *e, int64_t columns)
{
    return (struct width){(int)((columns + e->W - 1) / e->W),
                          columns % e->W ? mask_below(e, ki(e, columns % e->W)) : NULL};
}

static V width_mask(const struct width *w, int v)
{
    return v == w->vectors - 1 ? w->mask : NULL;
}

/* Panels from .. to of a chunk of x, [panel][row][width], a row of x at a time, so that it is read
 * from end to end. */
static void pack_panels(struct emit *e, const struct gradient *g, V first, V count, V from, V to,
                        const struct width *w)
{
    struct loop i, p;
    loop_begin(e, &i, ki(e, 0), count, 1, 0, NULL);
    V row = at(e, g->x, imulk(e, iadd(e, first, i.i), g->ldx)), offset = imulk(e, i.i, g->panel);
    loop_begin(e, &p, from, to, g->panel, 0, NULL);
    V in = at(e, row, p.i), out = at(e, packed_panel(e, g, p.i), offset);
    for (int v = 0; v < w->vectors; v++)
        vstore(e, vload(e, atk(e, in, v * (int64_t)e->W), width_mask(w, v)),
               atk(e, out, v * (int64_t)e->W), NULL);
    loop_end(e, &p, NULL);
    loop_end(e, &i, NULL);
}

/* Every micro kernel of a chunk fetches its share of the next one, piece after piece of row after
 * row, one with each k: of one row if there are more micro kernels than rows, else of some, and
 * then it turns from row to row. The places of dy and x and the number of the piece are carried
 * from k to k. */
#define AHEAD 3
struct ahead {
    V pieces, piece[2], turn[2];
}; /* pieces of a row; bytes from one to the next, and to the first of the next row */

static struct ahead begin_ahead(struct emit *e, const struct gradient *g, V n, V k, V next, V count,
                                V *carry)
{
    V blocks = idiv(e, iaddk(e, g->rows, g->high - 1), ki(e, g->high));
    V panels = idiv(e, iaddk(e, g->columns, g->panel - 1), ki(e, g->panel));
    V kernel = iadd(e, imul(e, idiv(e, k, ki(e, g->panel)), blocks), idiv(e, n, ki(e, g->high)));
    V kernels = imul(e, blocks, panels), first = imul(e, kernel, count),
      row = iadd(e, next, idiv(e, first, kernels));
    struct ahead a = {.pieces = g->turns ? kernels : count};
    carry[2] = g->turns ? irem(e, first, kernels) : ki(e, 0);
    for (int i = 0; i < 2; i++) {
        int64_t ld = i ? g->ldx : g->ldy;
        a.piece[i] = idiv(e, imulk(e, i ? g->columns : g->rows, 4), a.pieces);
        a.turn[i] = isub(e, ki(e, ld * 4), imul(e, a.piece[i], iaddk(e, a.pieces, -1)));
        carry[i] =
            bytes(e, at(e, i ? g->x : g->dy, imulk(e, row, ld)), imul(e, carry[2], a.piece[i]));
    }
    return a;
}

static void fetch_ahead(struct emit *e, const struct gradient *g, const struct ahead *a,
                        const V *now, V *then)
{
    V next = iaddk(e, now[2], 1), last = ieq(e, next, a->pieces);
    for (int i = 0; i < 2; i++) {
        prefetch(e, now[i], 2);
        then[i] =
            bytes(e, now[i], g->turns ? choose(e, last, a->turn[i], a->piece[i]) : a->piece[i]);
    }
    then[2] = g->turns ? choose(e, last, ki(e, 0), next) : now[2];
}

/* `rows` rows of dw from row n on, in the panel at column k, w wide: += the sums over this chunk's
 * rows. */
static void micro_gradient(struct emit *e, const struct gradient *g, int rows,
                           const struct width *w, V n, V k, V count, V next)
{
    V sum[LOOP_CARRY], c = at(e, g->dw, iadd(e, imulk(e, n, g->ldw), k));
    V a = at(e, packed_block(e, g, n), irem(e, n, ki(e, g->high))), b = packed_panel(e, g, k);
    int sums = rows * w->vectors;
    struct ahead ahead = begin_ahead(e, g, n, k, next, count, sum + sums);
    for (int i = 0; i < sums; i++) {
        prefetch(e, atk(e, c, i / w->vectors * g->ldw + i % w->vectors * (int64_t)e->W), 1);
        sum[i] = vkf(e, 0);
    }
    struct loop i;
    loop_begin(e, &i, ki(e, 0), count, 1, sums + AHEAD, sum);
    fetch_ahead(e, g, &ahead, i.carry + sums, sum + sums);
    V row = at(e, b, imulk(e, i.i, g->panel)), left = at(e, a, imulk(e, i.i, g->high)), x[2];
    for (int v = 0; v < w->vectors; v++)
        x[v] = vload(e, atk(e, row, v * (int64_t)e->W), NULL);
    for (int r = 0; r < rows; r++) {
        V d = splat(e, load(e, e->f32, atk(e, left, r)));
        for (int v = 0; v < w->vectors; v++)
            sum[r * w->vectors + v] = vfma(e, d, x[v], i.carry[r * w->vectors + v]);
    }
    loop_end(e, &i, sum);
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < w->vectors; v++) {
            V to = atk(e, c, r * g->ldw + v * (int64_t)e->W);
            vstore(e, vadd(e, vload(e, to, width_mask(w, v)), i.carry[r * w->vectors + v]), to,
                   width_mask(w, v));
        }
}

/* dw's rows in the panels from .. to, register block by register block. */
static void panels_gradient(struct emit *e, const struct gradient *g, V first, V count, V from,
                            V to, const struct width *w)
{
    static const int wide[] = {12, 6, 3, 1}, narrow[] = {6, 3, 1, 0};
    const int *blocks = g->high == 12 ? wide : narrow;
    struct loop p, n;
    loop_begin(e, &p, from, to, g->panel, 0, NULL);
    V row = ki(e, 0);
    for (int i = 0; i < 4 && blocks[i]; i++) {
        V end = iadd(e, row, imulk(e, idiv(e, isub(e, g->rows, row), ki(e, blocks[i])), blocks[i]));
        loop_begin(e, &n, row, end, blocks[i], 0, NULL);
        micro_gradient(e, g, blocks[i], w, n.i, p.i, count, iadd(e, first, count));
        loop_end(e, &n, NULL);
        row = end;
    }
    loop_end(e, &p, NULL);
}

static void chunk_gradient(struct emit *e, const struct gradient *g, V first, V count)
{
    struct width whole = width_of(e, g->panel), tail = width_of(e, g->tail);
    V end = isub(e, g->columns, irem(e, g->columns, ki(e, g->panel)));
    pack_dy(e, g, first, count);
    pack_panels(e, g, first, count, ki(e, 0), end, &whole);
    if (g->tail)
        pack_panels(e, g, first, count, end, g->columns, &tail);
    if (g->db)
        sum_bias(e, g, count);
    panels_gradient(e, g, first, count, ki(e, 0), end, &whole);
    if (g->tail)
        panels_gradient(e, g, first, count, end, g->columns, &tail);
}

static void product_tn(struct emit *e, struct gradient *g, V room)
{
    if (!e->fma) {
        struct column_sum sum = {g->dy, g->db, g->m, g->ldy};
        call_gemm_tn(e, g->dw, g->ldw, g->dy, g->ldy, g->x, g->ldx, g->rows, g->columns, g->m);
        if (g->db)
            each_vector(e, g->biased, sum_columns, &sum, NULL, 0);
        return;
    }
    g->packed_dy = room;
    g->packed_x = atk(e, room, (g->block + g->high - 1) / g->high * block_size(g));
    /* Chunks as equal as can be. */
    V chunks = idiv(e, iaddk(e, g->m, TILE_DW_CHUNK - 1), ki(e, TILE_DW_CHUNK));
    struct loop l;
    loop_begin(e, &l, ki(e, 0), chunks, 1, 0, NULL);
    V first = idiv(e, imul(e, l.i, g->m), chunks),
      next = idiv(e, imul(e, iaddk(e, l.i, 1), g->m), chunks);
    chunk_gradient(e, g, first, isub(e, next, first));
    loop_end(e, &l, NULL);
}

void emit_linear_dw(struct emit *e, const struct kernel_args *k)
{
    const struct linear_dw_sizes *s = &k->call->size.linear_dw;
    int64_t N = s->N, taps = s->taps, block = s->block, wide = s->wide, K = taps * s->I,
            across = (K + wide - 1) / wide;
    V part = irem(e, k->row, ki(e, across));
    V n0 = imulk(e, idiv(e, k->row, ki(e, across)), block), k0 = imulk(e, part, wide);
    struct gradient g = {.ldw = K,
                         .ldy = s->ldy,
                         .ldx = s->ldx,
                         .panel = plan_panel(e->W, K),
                         .high = e->W == 16 ? 12 : 6,
                         .block = block,
                         .db = s->biased ? at(e, k->p.linear_dw.db, n0) : NULL,
                         .dy = at(e, k->p.linear_dw.dy, n0),
                         .x = at(e, k->p.linear_dw.x, k0),
                         .m = k->m};
    g.tail = K % g.panel;
    g.turns = block / g.high * (wide / g.panel) < TILE_DW_CHUNK;
    g.rows = imin(e, ki(e, block), isub(e, ki(e, N), n0));
    g.columns = imin(e, ki(e, wide), isub(e, ki(e, K), k0));
    g.biased = choose(e, ieq(e, part, ki(e, 0)), g.rows, ki(e, 0));
    if (taps == 1) {
        g.dw = at(e, k->p.linear_dw.dw, iadd(e, imulk(e, n0, K), k0));
        product_tn(e, &g, k->p.linear_dw.scratch);
    } else {
        g.dw = k->p.linear_dw.scratch;
        g.ldw = wide;
        clear_floats(e, g.dw, imulk(e, g.rows, wide));
        product_tn(e, &g, atk(e, k->p.linear_dw.scratch, block * wide));
        unpatch(e, at(e, k->p.linear_dw.dw, imulk(e, n0, K)), g.dw, g.rows, k0, g.columns, s);
    }
}
