/* Matrix products: c (m,N) = start + a (m,K) b with b packed in panels of one or two vectors of columns.
 *
 * A block of rows keeps its sums in registers over a whole block of k; each row's sums run over k in order, whatever the block of
 * rows, so a row's bits do not depend on how many rows there are. Panels are the outer loop: a panel stays in L1 or L2 while
 * all rows pass by. Long k is cut into blocks, sums resting in c between them, which changes no bit. */
#include "config.h"

#include <stddef.h>

#include "compiler/emit/emit.h"
#include "compiler/plan/lower.h"

struct gemm {
    int64_t N, K, ldc, lda, panel, depth;       /* depth: k of a block */
    int start, vectors, high;                   /* vectors of a panel; rows of the largest register block */
    V c, a, b, bias, m;
    V blocks, low, more;                        /* m rows as `blocks` blocks of `low` rows, the first `more` of them one higher */
};

/* The longest depth that divides K and keeps a block of b and of a in L2. */
static int64_t block_depth(int64_t K)
{
    for (int64_t parts = (K + 767) / 768; parts < K / 128; parts++)
        if (K % parts == 0)
            return K / parts;
    return K;
}

struct panel { V b, c, bias, mask[2]; };

static V column(struct emit *e, V p, int64_t offset, int v)
{
    return p ? atk(e, p, offset + (int64_t)v * e->W) : NULL;
}

/* `rows` rows of one panel, from a to c; sums start in c or as g->start says. */
static void micro_kernel(struct emit *e, const struct gemm *g, const struct panel *p, int rows, V a, V c, int start)
{
    V sum[LOOP_CARRY];
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < g->vectors; v++)
            sum[r * g->vectors + v] = start == START_C      ? vload(e, column(e, c, r * g->ldc, v), p->mask[v])
                                      : start == START_BIAS ? vload(e, column(e, p->bias, 0, v), p->mask[v])
                                                            : vkf(e, 0);
    int unroll = g->depth % 2 == 0 && !e->sanitize ? 2 : 1;      /* checked code is long, and slow to generate */
    struct loop l;
    loop_begin(e, &l, ki(e, 0), ki(e, g->depth), unroll, rows * g->vectors, sum);
    for (int i = 0; i < rows * g->vectors; i++)
        sum[i] = l.carry[i];
    for (int u = 0; u < unroll; u++) {
        V k = iaddk(e, l.i, u), bk = at(e, p->b, imulk(e, k, g->panel)), row[2], ak = at(e, a, k);
        for (int v = 0; v < g->vectors; v++)
            row[v] = vload(e, column(e, bk, 0, v), NULL);
        for (int r = 0; r < rows; r++) {
            V x = splat(e, load(e, e->f32, atk(e, ak, r * g->lda)));
            for (int v = 0; v < g->vectors; v++)
                sum[r * g->vectors + v] = vfma(e, x, row[v], sum[r * g->vectors + v]);
        }
    }
    loop_end(e, &l, sum);
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < g->vectors; v++)
            vstore(e, l.carry[r * g->vectors + v], column(e, c, r * g->ldc, v), p->mask[v]);
}

/* All rows of one panel, in blocks as equal as can be: a short block costs nearly the time of a full one. */
static void all_rows(struct emit *e, const struct gemm *g, const struct panel *p, V a, int start)
{
    struct loop l;
    struct cases c;
    V row = ki(e, 0);
    loop_begin(e, &l, ki(e, 0), g->blocks, 1, 1, &row);
    row = l.carry[0];
    V rows = iadd(e, g->low, choose(e, ilt(e, l.i, g->more), ki(e, 1), ki(e, 0)));
    V from = at(e, a, imulk(e, row, g->lda)), to = at(e, p->c, imulk(e, row, g->ldc));
    cases_begin(e, &c, rows, g->high);
    for (int r = g->high; r > 0; r--) {
        case_begin(e, &c, r);
        micro_kernel(e, g, p, r, from, to, start);
        case_end(e, &c);
    }
    cases_end(e, &c);
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
}

static void all_panels(struct emit *e, const struct gemm *g, V a, V b, int start)
{
    struct loop l;
    loop_begin(e, &l, ki(e, 0), ki(e, (g->N + g->panel - 1) / g->panel), 1, 0, NULL);
    V n = imulk(e, l.i, g->panel);
    struct panel p = {.b = at(e, b, imulk(e, l.i, g->panel * g->K)), .c = at(e, g->c, n)};
    p.bias = start == START_BIAS ? at(e, g->bias, n) : NULL;
    if (g->N % g->panel)
        for (int v = 0; v < g->vectors; v++)
            p.mask[v] = mask_below(e, isub(e, ki(e, g->N), iaddk(e, n, (int64_t)v * e->W)));
    all_rows(e, g, &p, a, start);
    loop_end(e, &l, NULL);
}

struct init { const struct gemm *g; V c; };

static void init_columns(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct init *s = data;
    (void)carry;
    vstore(e, s->g->start == START_BIAS ? vload(e, at(e, s->g->bias, i), mask) : vkf(e, 0), at(e, s->c, i), mask);
}

void emit_gemm(struct emit *e, const struct kernel_args *k)
{
    const int64_t *s = k->call->size;
    struct gemm g = {.N = s[0], .K = s[1], .ldc = s[2], .lda = s[3], .start = (int)s[4], .c = k->p[0], .a = k->p[1],
                     .b = k->p[2], .bias = k->p[3], .m = k->m};
    g.panel = plan_panel(e->W, g.N);
    g.vectors = (int)(g.panel / e->W);
    g.depth = block_depth(g.K);
    cut_rows(e, &g);
    if (g.depth == g.K) {
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
    all_panels(e, &g, at(e, g.a, l.i), at(e, g.b, imulk(e, l.i, g.panel)), START_C);
    loop_end(e, &l, NULL);
}

void gemm_call(struct emit *e, const int64_t size[5], V c, V a, V b, V m, V ctx)
{
    struct call call = {.kernel = KERNEL_gemm, .noperands = 4, .nsizes = 5};
    for (int i = 0; i < 5; i++)
        call.size[i] = size[i];
    call_kernel(e, &call, (V[]){c, a, b, LLVMConstNull(e->ptr)}, 4, m, ki(e, 0), ctx);
}

/* -- packing: panel `row` of the panels of all experts; w (E, N, I, taps), k = (tap, i) -- */

struct packing { V w, mask, index; };

/* Lanes of a panel are columns n of the product: a gather with the distance of two rows of w. */
void emit_pack(struct emit *e, const struct kernel_args *k)
{
    const int64_t *s = k->call->size;
    int64_t N = s[0], taps = s[1], I = s[2], panel = s[3], K = taps * I, count = (N + panel - 1) / panel;
    V n0 = imulk(e, irem(e, k->row, ki(e, count)), panel);
    V w = at(e, k->p[1], imulk(e, iadd(e, imulk(e, idiv(e, k->row, ki(e, count)), N), n0), K));
    struct loop t, i;
    loop_begin(e, &t, ki(e, 0), ki(e, taps), 1, 0, NULL);
    loop_begin(e, &i, ki(e, 0), ki(e, I), 1, 0, NULL);
    V from = at(e, w, iadd(e, imulk(e, i.i, taps), t.i)), to = at(e, k->p[0], imulk(e, iadd(e, imulk(e, t.i, I), i.i), panel));
    for (int64_t v = 0; v < panel; v += e->W) {
        V mask = N % panel ? mask_below(e, isub(e, ki(e, N), iaddk(e, n0, v))) : NULL;
        vstore(e, vgather(e, from, lanes(e, e->i64, v * K, K), mask), atk(e, to, v), NULL);
    }
    loop_end(e, &i, NULL);
    loop_end(e, &t, NULL);
}

/* Lanes are columns j = (tap, i), rows k are w's own rows. */
void emit_pack_t(struct emit *e, const struct kernel_args *k)
{
    const int64_t *s = k->call->size;
    int64_t rows = s[0], taps = s[1], I = s[2], panel = s[3], K = taps * I, count = (K + panel - 1) / panel;
    V j0 = imulk(e, irem(e, k->row, ki(e, count)), panel);
    V w = at(e, k->p[1], imulk(e, idiv(e, k->row, ki(e, count)), rows * K));
    struct loop r;
    loop_begin(e, &r, ki(e, 0), ki(e, rows), 1, 0, NULL);
    V from = at(e, w, imulk(e, r.i, K)), to = at(e, k->p[0], imulk(e, r.i, panel));
    for (int64_t v = 0; v < panel; v += e->W) {
        V j = iaddk(e, j0, v), x;
        V mask = K % panel ? mask_below(e, isub(e, ki(e, K), j)) : NULL;
        if (taps == 1) {
            x = vload(e, at(e, from, j), mask);
        } else {
            V column = iadd(e, splat(e, j), lanes(e, e->i64, 0, 1));
            V tap = idiv(e, column, ilike(e, column, (uint64_t)I)), in = irem(e, column, ilike(e, column, (uint64_t)I));
            x = vgather(e, from, iadd(e, imulk(e, in, taps), tap), mask);
        }
        vstore(e, x, atk(e, to, v), NULL);
    }
    loop_end(e, &r, NULL);
}

/* -- products of values of one picture -- */

void pack_value(struct emit *e, V to, V x, int64_t ld, int64_t N, V m, int64_t K)
{
    int64_t panel = plan_panel(e->W, N), count = (N + panel - 1) / panel;
    struct loop p, k;
    loop_begin(e, &p, ki(e, 0), ki(e, count), 1, 0, NULL);
    V n0 = imulk(e, p.i, panel), out = at(e, to, imulk(e, p.i, panel * K));
    for (int part = 0; part < 2; part++) {
        loop_begin(e, &k, part ? m : ki(e, 0), part ? ki(e, K) : m, 1, 0, NULL);
        for (int64_t v = 0; v < panel; v += e->W) {
            V mask = N % panel ? mask_below(e, isub(e, ki(e, N), iaddk(e, n0, v))) : NULL;
            V from = at(e, x, iadd(e, imulk(e, k.i, ld), iaddk(e, n0, v)));
            vstore(e, part ? vkf(e, 0) : vload(e, from, mask), atk(e, at(e, out, imulk(e, k.i, panel)), v), NULL);
        }
        loop_end(e, &k, NULL);
    }
    loop_end(e, &p, NULL);
}

void emit_matmul(struct emit *e, const struct kernel_args *k)
{
    int64_t R = k->call->size[0], M = k->call->size[1], C = k->call->size[2];
    pack_value(e, k->p[3], k->p[2], C, C, ki(e, M), M);
    gemm_call(e, (int64_t[]){C, M, C, M, START_ZERO}, k->p[0], k->p[1], k->p[3], ki(e, R), k->ctx);
}
