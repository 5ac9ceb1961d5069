/* Weight gradients: dw (N,K) += dy^T x over all rows, one block of dw's rows a task.
 *
 * Rows of dy and x pass in chunks: a chunk of dy is packed in blocks of as many columns as a register block has rows, a chunk of x in
 * panels of its width; sums start in dw and return to it after each chunk, so they run over the rows in order. Where the target has no
 * fused multiply-add the runtime's product is called instead. */
#include "config.h"

#include <stddef.h>

#include "compiler/emit/emit.h"
#include "compiler/plan/lower.h"


struct column_sum { V dy, db, m; int64_t ldy; };

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

static void call_gemm_tn(struct emit *e, V c, int64_t ldc, V a, int64_t lda, V b, int64_t ldb, V m, int64_t n, V k)
{
    V f = LLVMGetNamedFunction(e->module, "vrt_gemm_tn");
    LLVMBuildCall2(e->b, LLVMGlobalGetValueType(f), f,
                   (V[]){c, ki(e, ldc), a, ki(e, lda), b, ki(e, ldb), m, ki(e, n), k}, 9, "");
}

/* dw (n, I, taps) += col (n, taps, I) for `rows` n. */
static void unpatch(struct emit *e, V dw, V col, V rows, int64_t taps, int64_t I)
{
    struct loop n, t, i;
    loop_begin(e, &n, ki(e, 0), rows, 1, 0, NULL);
    loop_begin(e, &t, ki(e, 0), ki(e, taps), 1, 0, NULL);
    loop_begin(e, &i, ki(e, 0), ki(e, I), 1, 0, NULL);
    V base = imulk(e, n.i, taps * I);
    V to = at(e, dw, iadd(e, base, iadd(e, imulk(e, i.i, taps), t.i)));
    V from = at(e, col, iadd(e, base, iadd(e, imulk(e, t.i, I), i.i)));
    store(e, vadd(e, load(e, e->f32, to), load(e, e->f32, from)), to);
    loop_end(e, &i, NULL);
    loop_end(e, &t, NULL);
    loop_end(e, &n, NULL);
}

struct gradient {
    int64_t K, ldy, ldx, panel, high;   /* high: rows of dw in a register block */
    int vectors;
    V dw, db, dy, x, rows, m;           /* of this task's block: its rows of dw and db (or NULL), all rows of dy and x */
    V packed_dy, packed_x;
};

/* dy chunk to blocks [block][row][high]; columns past the end are zero. The bias' gradient is summed on the way. */
static void pack_dy(struct emit *e, const struct gradient *g, V first, V count)
{
    struct loop b, i;
    loop_begin(e, &b, ki(e, 0), g->rows, g->high, 0, NULL);
    V left = isub(e, g->rows, b.i), on = mask_below(e, imin(e, ki(e, g->high), left));
    V from = at(e, g->dy, iadd(e, imulk(e, first, g->ldy), b.i)), to = at(e, g->packed_dy, imulk(e, b.i, TILE_DW_CHUNK));
    V room = mask_below(e, ki(e, g->high)), sum = g->db ? vload(e, at(e, g->db, b.i), on) : vkf(e, 0);
    loop_begin(e, &i, ki(e, 0), count, 1, 1, &sum);
    V row = vload(e, at(e, from, imulk(e, i.i, g->ldy)), on);
    vstore(e, row, at(e, to, imulk(e, i.i, g->high)), room);
    sum = vadd(e, i.carry[0], row);
    loop_end(e, &i, &sum);
    if (g->db)
        vstore(e, i.carry[0], at(e, g->db, b.i), on);
    loop_end(e, &b, NULL);
}

static void pack_x(struct emit *e, const struct gradient *g, V first, V count, V k0, V *masks)
{
    struct loop i;
    loop_begin(e, &i, ki(e, 0), count, 1, 0, NULL);
    V from = at(e, g->x, iadd(e, imulk(e, iadd(e, first, i.i), g->ldx), k0)), to = at(e, g->packed_x, imulk(e, i.i, g->panel));
    for (int v = 0; v < g->vectors; v++)
        vstore(e, vload(e, atk(e, from, v * (int64_t)e->W), masks[v]), atk(e, to, v * (int64_t)e->W), NULL);
    loop_end(e, &i, NULL);
}

/* `rows` rows of dw from row n on, one panel wide. */
static void micro_gradient(struct emit *e, const struct gradient *g, int rows, V n, V k0, V count, V *masks)
{
    V sum[LOOP_CARRY], c = at(e, g->dw, iadd(e, imulk(e, n, g->K), k0));
    V a = at(e, g->packed_dy, iadd(e, imulk(e, isub(e, n, irem(e, n, ki(e, g->high))), TILE_DW_CHUNK), irem(e, n, ki(e, g->high))));
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < g->vectors; v++)
            sum[r * g->vectors + v] = vload(e, atk(e, c, r * g->K + v * (int64_t)e->W), masks[v]);
    struct loop i;
    loop_begin(e, &i, ki(e, 0), count, 1, rows * g->vectors, sum);
    V row = at(e, g->packed_x, imulk(e, i.i, g->panel)), left = at(e, a, imulk(e, i.i, g->high)), x[2];
    for (int v = 0; v < g->vectors; v++)
        x[v] = vload(e, atk(e, row, v * (int64_t)e->W), NULL);
    for (int r = 0; r < rows; r++) {
        V d = splat(e, load(e, e->f32, atk(e, left, r)));
        for (int v = 0; v < g->vectors; v++)
            sum[r * g->vectors + v] = vfma(e, d, x[v], i.carry[r * g->vectors + v]);
    }
    loop_end(e, &i, sum);
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < g->vectors; v++)
            vstore(e, i.carry[r * g->vectors + v], atk(e, c, r * g->K + v * (int64_t)e->W), masks[v]);
}

static void chunk_gradient(struct emit *e, const struct gradient *g, V first, V count)
{
    static const int wide[] = {12, 6, 3, 1}, narrow[] = {6, 3, 1, 0};
    const int *blocks = g->high == 12 ? wide : narrow;
    struct loop p, n;
    V masks[2] = {NULL, NULL};
    pack_dy(e, g, first, count);
    loop_begin(e, &p, ki(e, 0), ki(e, g->K), g->panel, 0, NULL);
    if (g->K % g->panel)
        for (int v = 0; v < g->vectors; v++)
            masks[v] = mask_below(e, isub(e, ki(e, g->K), iaddk(e, p.i, v * (int64_t)e->W)));
    pack_x(e, g, first, count, p.i, masks);
    V from = ki(e, 0);
    for (int i = 0; i < 4 && blocks[i]; i++) {
        V to = iadd(e, from, imulk(e, idiv(e, isub(e, g->rows, from), ki(e, blocks[i])), blocks[i]));
        loop_begin(e, &n, from, to, blocks[i], 0, NULL);
        micro_gradient(e, g, blocks[i], n.i, p.i, count, masks);
        loop_end(e, &n, NULL);
        from = to;
    }
    loop_end(e, &p, NULL);
}

static void product_tn(struct emit *e, const struct kernel_args *k, V dw, V db, V dy, V rows, V room)
{
    const int64_t *s = k->call->size;
    struct gradient g = {.K = s[1] * s[2], .ldy = s[4], .ldx = s[5], .high = e->W == 16 ? 12 : 6, .dw = dw, .db = db, .dy = dy,
                         .x = k->p[3], .rows = rows, .m = k->m};
    if (!e->fma) {
        struct column_sum sum = {dy, db, k->m, g.ldy};
        call_gemm_tn(e, dw, g.K, dy, g.ldy, k->p[3], g.ldx, rows, g.K, k->m);
        if (db)
            each_vector(e, rows, sum_columns, &sum, NULL, 0);
        return;
    }
    g.panel = plan_panel(e->W, g.K);
    g.vectors = (int)(g.panel / e->W);
    g.packed_x = room;
    g.packed_dy = atk(e, room, TILE_DW_CHUNK * g.panel);
    struct loop l;
    loop_begin(e, &l, ki(e, 0), k->m, TILE_DW_CHUNK, 0, NULL);
    chunk_gradient(e, &g, l.i, imin(e, ki(e, TILE_DW_CHUNK), isub(e, k->m, l.i)));
    loop_end(e, &l, NULL);
}

void emit_linear_dw(struct emit *e, const struct kernel_args *k)
{
    const int64_t *s = k->call->size;
    int64_t N = s[0], taps = s[1], I = s[2], block = s[3], K = taps * I;
    V n0 = imulk(e, k->row, block), rows = imin(e, ki(e, block), isub(e, ki(e, N), n0));
    V dw = at(e, k->p[0], imulk(e, n0, K)), dy = at(e, k->p[2], n0), db = s[6] ? at(e, k->p[1], n0) : NULL;
    if (taps == 1) {
        product_tn(e, k, dw, db, dy, rows, k->p[4]);
    } else {
        V room = atk(e, k->p[4], block * K);
        clear_floats(e, k->p[4], imulk(e, rows, K));
        product_tn(e, k, k->p[4], db, dy, rows, room);
        unpatch(e, dw, k->p[4], rows, taps, I);
    }
}
