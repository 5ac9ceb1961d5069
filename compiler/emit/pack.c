/* Packing of the right factor b (K,N) of a product: panels of plan_panel() columns, k by k.
 *
 * Where columns of b are rows in memory, squares of W x W numbers are transposed in registers. What
 * a product does not read of the last panel, whole vectors past N, is not written. */
#include "config.h"

#include <stddef.h>

#include "compiler/emit/emit.h"
#include "compiler/plan/lower.h"

/* to[k][j] = x[j][k] for `rows` rows j and `columns` columns k from k on, both at most W; rows from
 * there to W are zero. */
static void pack_square(struct emit *e, V to, int64_t panel, V x, int64_t ld, V k, int64_t rows,
                        int64_t columns)
{
    V square[MAX_LANES], mask = columns < e->W ? mask_below(e, ki(e, columns)) : NULL;
    for (int j = 0; j < e->W; j++)
        square[j] = j < rows ? vload(e, atk(e, at(e, x, k), j * ld), mask) : vkf(e, 0);
    vtranspose(e, square);
    for (int i = 0; i < columns; i++)
        vstore(e, square[i], atk(e, at(e, to, imulk(e, k, panel)), i * panel), NULL);
}

void pack_panel(struct emit *e, V to, V x, int64_t ld, int64_t columns, int64_t K, int64_t panel)
{
    struct loop k;
    int64_t whole = K / e->W * e->W;
    for (int64_t v = 0; v < columns; v += e->W) {
        V out = atk(e, to, v), from = atk(e, x, v * ld);
        int64_t rows = columns - v < e->W ? columns - v : e->W;
        loop_begin(e, &k, ki(e, 0), ki(e, whole), e->W, 0, NULL);
        pack_square(e, out, panel, from, ld, k.i, rows, e->W);
        loop_end(e, &k, NULL);
        if (whole < K)
            pack_square(e, out, panel, from, ld, ki(e, whole), rows, K - whole);
    }
}

void pack_columns(struct emit *e, V to, V x, int64_t ld, int64_t N, int64_t K)
{
    int64_t panel = plan_panel(e->W, N);
    V whole = ki(e, N / panel);
    struct loop p;
    loop_begin(e, &p, ki(e, 0), whole, 1, 0, NULL);
    pack_panel(e, at(e, to, imulk(e, p.i, panel * K)), at(e, x, imulk(e, p.i, panel * ld)), ld,
               panel, K, panel);
    loop_end(e, &p, NULL);
    if (N % panel)
        pack_panel(e, at(e, to, imulk(e, whole, panel * K)), at(e, x, imulk(e, whole, panel * ld)),
                   ld, N % panel, K, panel);
}

void pack_rows(struct emit *e, V to, V x, int64_t ld, int64_t N, V m, int64_t K)
{
    int64_t panel = plan_panel(e->W, N);
    struct loop k;
    for (int part = 0; part < 2; part++) {
        loop_begin(e, &k, part ? m : ki(e, 0), part ? ki(e, K) : m, 1, 0, NULL);
        V from = at(e, x, imulk(e, k.i, ld)), out = at(e, to, imulk(e, k.i, panel));
        for (int64_t n = 0; n < N; n += e->W) {
            V mask = N - n < e->W ? mask_below(e, ki(e, N - n)) : NULL;
            vstore(e, part ? vkf(e, 0) : vload(e, atk(e, from, n), mask),
                   atk(e, out, n / panel * panel * K + n % panel), NULL);
        }
        loop_end(e, &k, NULL);
    }
}

/* -- weights: panel `row` of the panels of all experts; w (E, N, I, taps), k = (tap, i) -- */

/* Lanes of a panel are columns n of the product, rows of w. */
static void pack_taps(struct emit *e, V to, V w, V n0, const struct pack_sizes *s)
{
    int64_t N = s->N, taps = s->taps, I = s->I, panel = s->panel, K = taps * I;
    struct loop t, i;
    loop_begin(e, &t, ki(e, 0), ki(e, taps), 1, 0, NULL);
    loop_begin(e, &i, ki(e, 0), ki(e, I), 1, 0, NULL);
    V from = at(e, w, iadd(e, imulk(e, i.i, taps), t.i)),
      out = at(e, to, imulk(e, iadd(e, imulk(e, t.i, I), i.i), panel));
    for (int64_t v = 0; v < panel; v += e->W) {
        V mask = N % panel ? mask_below(e, isub(e, ki(e, N), iaddk(e, n0, v))) : NULL;
        vstore(e, vgather(e, from, lanes(e, e->i64, v * K, K), mask), atk(e, out, v), NULL);
    }
    loop_end(e, &i, NULL);
    loop_end(e, &t, NULL);
}

void emit_pack(struct emit *e, const struct kernel_args *k)
{
    const struct pack_sizes *s = &k->call->size.pack;
    int64_t N = s->N, taps = s->taps, panel = s->panel, K = taps * s->I,
            count = (N + panel - 1) / panel;
    V index = irem(e, k->row, ki(e, count)), n0 = imulk(e, index, panel);
    V w = at(e, k->p.pack.w, imulk(e, iadd(e, imulk(e, idiv(e, k->row, ki(e, count)), N), n0), K));
    struct branch last;
    if (taps > 1) {
        pack_taps(e, k->p.pack.b, w, n0, s);
        return;
    }
    if_begin(e, &last, ilt(e, index, ki(e, N / panel)));
    pack_panel(e, k->p.pack.b, w, K, panel, K, panel);
    if (N % panel) {
        if_else(e, &last);
        pack_panel(e, k->p.pack.b, w, K, N % panel, K, panel);
    }
    if_end(e, &last);
}

/* Lanes are columns j = (tap, i), rows k are w's own rows. */
void emit_pack_t(struct emit *e, const struct kernel_args *k)
{
    const struct pack_t_sizes *s = &k->call->size.pack_t;
    int64_t rows = s->K, taps = s->taps, I = s->I, panel = s->panel, K = taps * I,
            count = (K + panel - 1) / panel;
    V j0 = imulk(e, irem(e, k->row, ki(e, count)), panel);
    V w = at(e, k->p.pack_t.w, imulk(e, idiv(e, k->row, ki(e, count)), rows * K));
    struct loop r;
    loop_begin(e, &r, ki(e, 0), ki(e, rows), 1, 0, NULL);
    V from = at(e, w, imulk(e, r.i, K)), to = at(e, k->p.pack_t.b, imulk(e, r.i, panel));
    for (int64_t v = 0; v < panel; v += e->W) {
        V j = iaddk(e, j0, v), x;
        V mask = K % panel ? mask_below(e, isub(e, ki(e, K), j)) : NULL;
        if (taps == 1) {
            x = vload(e, at(e, from, j), mask);
        } else {
            V column = iadd(e, splat(e, j), lanes(e, e->i64, 0, 1));
            V tap = idiv(e, column, ilike(e, column, (uint64_t)I)),
              in = irem(e, column, ilike(e, column, (uint64_t)I));
            x = vgather(e, from, iadd(e, imulk(e, in, taps), tap), mask);
        }
        vstore(e, x, atk(e, to, v), NULL);
    }
    loop_end(e, &r, NULL);
}
