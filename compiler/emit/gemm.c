/* Matrix products: c (m,N) = start + a (m,K) b with b packed in panels of one or two vectors of
 * columns.
 *
 * A block of rows keeps its sums in registers over a whole block of k; each row's sums run over k
 * in order, whatever the block of rows, so a row's bits do not depend on how many rows there are.
 * Panels are the outer loop: a panel stays in L1 or L2 while all rows pass by, and each block of
 * rows fetches a share of the next one, for weights are seldom in L2 when they are wanted. Long k
 * is cut into blocks, sums resting in c between them, which changes no bit. What follows the sums
 * (epilogue.c) is done to each block of rows. */
#include "config.h"

#include <stddef.h>

#include "compiler/emit/emit.h"
#include "compiler/plan/lower.h"

struct gemm {
    int64_t N, K, ldc, lda, step, panel, depth; /* depth: k of a block */
    int start, vectors, high; /* vectors of a panel; rows of the largest register block */
    V c, a, b, bias, m;
    V ahead; /* bytes of the next panel fetched with each k */
    /* m rows as `blocks` blocks of `low` rows, the first `more` of them one higher */
    V blocks, low, more;
    struct epilogue epilogue;
    V last;  /* k in blocks: whether this one is the last */
    V aside; /* k in one, with an epilogue: a block of sums on the stack, panel wide; else NULL */
};

/* The longest depth that divides K and keeps a block of b and of a in L2. */
static int64_t block_depth(int64_t K)
{
    for (int64_t parts = (K + 767) / 768; parts < K / 128; parts++)
        if (K % parts == 0)
            return K / parts;
    return K;
}

struct panel {
    V b, c, column, bias, mask[2];
    int vectors;
};

static V column(struct emit *e, V p, int64_t offset, int v)
{
    return p ? atk(e, p, offset + (int64_t)v * e->W) : NULL;
}

static int64_t ld_sums(const struct gemm *g)
{
    return g->aside ? g->panel : g->ldc;
}

/* `rows` rows of one panel, from a to c; sums start in c or as g->start says. `next`: a place in
 * the next panel; `there`: how far from c the next block is. */
static void micro_kernel(struct emit *e, const struct gemm *g, const struct panel *p, int rows, V a,
                         V c, V next, V there, int start)
{
    V sum[LOOP_CARRY];
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < p->vectors; v++)
            sum[r * p->vectors + v] =
                start == START_C      ? vload(e, column(e, c, r * ld_sums(g), v), p->mask[v])
                : start == START_BIAS ? vload(e, column(e, p->bias, 0, v), p->mask[v])
                                      : vkf(e, 0);
    /* checked code is long, and slow to generate */
    int unroll = g->depth % 2 == 0 && !e->sanitize ? 2 : 1;
    struct loop l;
    loop_begin(e, &l, ki(e, 0), ki(e, g->depth), unroll, rows * p->vectors, sum);
    for (int i = 0; i < rows * p->vectors; i++)
        sum[i] = l.carry[i];
    prefetch(e, bytes(e, next, imul(e, l.i, g->ahead)), 2);
    for (int u = 0; u < unroll; u++) {
        V k = iaddk(e, l.i, u), bk = at(e, p->b, imulk(e, k, g->panel)), row[2],
          ak = at(e, a, imulk(e, k, g->step));
        for (int v = 0; v < p->vectors; v++)
            row[v] = vload(e, column(e, bk, 0, v), NULL);
        for (int r = 0; r < rows; r++) {
            V x = splat(e, load(e, e->f32, atk(e, ak, r * g->lda)));
            for (int v = 0; v < p->vectors; v++)
                sum[r * p->vectors + v] = vfma(e, x, row[v], sum[r * p->vectors + v]);
        }
    }
    loop_end(e, &l, sum);
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < p->vectors; v++) {
            if (!g->aside)
                prefetch(e, at(e, column(e, c, r * g->ldc, v), there), 2);
            vstore(e, l.carry[r * p->vectors + v], column(e, c, r * ld_sums(g), v), p->mask[v]);
        }
}

/* What follows the last sums of `rows` rows of a panel. */
static void finish_rows(struct emit *e, const struct gemm *g, const struct panel *p, V sums, V row,
                        V rows, V there)
{
    struct epilogue_part part = {sums,       row,  p->column, rows, there, {p->mask[0], p->mask[1]},
                                 ld_sums(g), g->N, p->vectors};
    struct branch last;
    if (!g->epilogue.n)
        return;
    if (g->last)
        if_begin(e, &last, g->last);
    epilogue_block(e, &g->epilogue, &part);
    if (g->last)
        if_end(e, &last);
}

/* All rows of one panel, in blocks as equal as can be: a short block costs nearly the time of a
 * full one. */
static void all_rows(struct emit *e, const struct gemm *g, const struct panel *p, V a, int start)
{
    struct loop l;
    struct cases c;
    V row = ki(e, 0);
    loop_begin(e, &l, ki(e, 0), g->blocks, 1, 1, &row);
    row = l.carry[0];
    V rows = iadd(e, g->low, choose(e, ilt(e, l.i, g->more), ki(e, 1), ki(e, 0)));
    V from = at(e, a, imulk(e, row, g->lda)),
      to = g->aside ? g->aside : at(e, p->c, imulk(e, row, g->ldc));
    V next = bytes(e, atk(e, p->b, g->panel * g->K), imul(e, imulk(e, l.i, g->depth), g->ahead));
    V last = ieq(e, l.i, iaddk(e, g->blocks, -1));
    V there =
        choose(e, last, isub(e, ki(e, g->panel), imulk(e, row, g->ldc)), imulk(e, rows, g->ldc));
    cases_begin(e, &c, rows, g->high);
    for (int r = g->high; r > 0; r--) {
        case_begin(e, &c, r);
        micro_kernel(e, g, p, r, from, to, next, there, start);
        case_end(e, &c);
    }
    cases_end(e, &c);
    finish_rows(e, g, p, to, row, rows, there);
    row = iadd(e, row, rows);
    loop_end(e, &l, &row);
}

static void cut_rows(struct emit *e, struct gemm *g)
{
    V some = choose(e, ieq(e, g->m, ki(e, 0)), ki(e, 1), g->m);
    g->high = e->W == 16 || g->vectors == 1 ? 12 : 6;
    g->blocks = idiv(e, iaddk(e, some, g->high - 1), ki(e, g->high));
    g->low = idiv(e, g->m, g->blocks);
    g->more = irem(e, g->m, g->blocks);
    g->ahead = idiv(e, ki(e, g->panel * 4), g->blocks);
}

/* The panel that begins at column n; `columns` of it are used. */
static void one_panel(struct emit *e, const struct gemm *g, V index, int64_t columns, V a, V b,
                      int start)
{
    V n = imulk(e, index, g->panel);
    struct panel p = {.b = at(e, b, imulk(e, n, g->K)),
                      .c = at(e, g->c, n),
                      .column = n,
                      .vectors = (int)((columns + e->W - 1) / e->W)};
    p.bias = start == START_BIAS ? at(e, g->bias, n) : NULL;
    if (columns % e->W)
        p.mask[p.vectors - 1] = mask_below(e, ki(e, columns % e->W));
    all_rows(e, g, &p, a, start);
}

static void all_panels(struct emit *e, const struct gemm *g, V a, V b, int start)
{
    struct loop l;
    V whole = ki(e, g->N / g->panel);
    if (g->N >= g->panel) {
        loop_begin(e, &l, ki(e, 0), whole, 1, 0, NULL);
        one_panel(e, g, l.i, g->panel, a, b, start);
        loop_end(e, &l, NULL);
    }
    if (g->N % g->panel)
        one_panel(e, g, whole, g->N % g->panel, a, b, start);
}

struct init {
    const struct gemm *g;
    V c;
};

static void init_columns(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct init *s = data;
    (void)carry;
    vstore(e, s->g->start == START_BIAS ? vload(e, at(e, s->g->bias, i), mask) : vkf(e, 0),
           at(e, s->c, i), mask);
}

void emit_gemm(struct emit *e, const struct kernel_args *k)
{
    const struct gemm_sizes *s = &k->call->size.gemm;
    struct gemm g = {.N = s->N,
                     .K = s->K,
                     .ldc = s->ldc,
                     .lda = s->lda,
                     .step = s->step,
                     .start = (int)s->start,
                     .c = k->p.gemm.c,
                     .a = k->p.gemm.a,
                     .b = k->p.gemm.b,
                     .bias = k->p.gemm.bias,
                     .m = k->m};
    epilogue_read(k, &g.epilogue);
    g.panel = plan_panel(e->W, g.N);
    g.vectors = (int)(g.panel / e->W);
    g.depth = block_depth(g.K);
    cut_rows(e, &g);
    if (g.depth == g.K) {
        g.aside = g.epilogue.n ? slot(e, e->f32, g.high * g.panel) : NULL;
        all_panels(e, &g, g.a, g.b, g.start);
        return;
    }
    struct loop l;
    if (g.start != START_C) {
        loop_begin(e, &l, ki(e, 0), g.m, 1, 0, NULL);
        struct init in = {&g, at(e, g.c, imulk(e, l.i, g.ldc))};
        each_vector(e, ki(e, g.N), init_columns, &in, NULL, 0);
        loop_end(e, &l, NULL);
    }
    loop_begin(e, &l, ki(e, 0), ki(e, g.K), g.depth, 0, NULL);
    g.last = ieq(e, l.i, ki(e, g.K - g.depth));
    all_panels(e, &g, at(e, g.a, imulk(e, l.i, g.step)), at(e, g.b, imulk(e, l.i, g.panel)),
               START_C);
    loop_end(e, &l, NULL);
}

void gemm_call(struct emit *e, struct gemm_sizes size, V c, V a, V b, V m, V ctx)
{
    struct call call = {.kernel = KERNEL_gemm, .size.gemm = size};
    call_kernel(e, &call, (V[]){c, a, b, LLVMConstNull(e->ptr)}, m, ki(e, 0), ctx);
}

/* -- products of values of one picture -- */

void emit_matmul(struct emit *e, const struct kernel_args *k)
{
    int64_t R = k->call->size.matmul.R, M = k->call->size.matmul.M, C = k->call->size.matmul.C;
    pack_rows(e, k->p.matmul.scratch, k->p.matmul.b, C, C, ki(e, M), M);
    gemm_call(
        e, (struct gemm_sizes){.N = C, .K = M, .ldc = C, .lda = M, .step = 1, .start = START_ZERO},
        k->p.matmul.y, k->p.matmul.a, k->p.matmul.scratch, ki(e, R), k->ctx);
}
