/* Shapes of values and params: see shapes.h. */
#include "config.h"

#include "compiler/ops/shapes.h"

bool shape_is(const struct value *v, int64_t rows, int64_t cols)
{
    return v->rows == rows && v->cols == cols;
}

bool shape_same_rows(const struct value *a, const struct value *b)
{
    return a->rows == b->rows && a->experts == b->experts;
}

bool shape_alike(const struct value *a, const struct value *b)
{
    return shape_same_rows(a, b) && a->cols == b->cols;
}

const char *wrong_unless_alike(const struct node *n)
{
    for (int i = 0; i < n->nin; i++)
        if (!shape_alike(n->in[i], n->out[0]))
            return "inputs and output differ in shape";
    return NULL;
}

bool param_is(const struct param *p, const struct value *v, int rank, const int64_t *shape)
{
    int first = v->experts ? 1 : 0;
    if (!p || p->rank != rank + first || p->experts != (v->experts ? v->experts->count : 0))
        return false;
    for (int i = 0; i < rank; i++)
        if (p->shape[first + i] != shape[i])
            return false;
    return true;
}

const char *wrong_unless_by_column(const struct param *p, const struct value *v)
{
    return param_is(p, v, 1, &v->cols) ? NULL : "a param has not one number for each column";
}

const char *wrong_unless_product(const struct node *n, const struct value *x, const struct value *y)
{
    if (!shape_same_rows(x, y))
        return "the rows of the two values differ";
    if (!param_is(n->weight, x, 2, (int64_t[]){y->cols, x->cols}))
        return "the weight does not lead from the one width to the other";
    if (n->bias && !param_is(n->bias, x, 1, &y->cols))
        return "the bias has not one number for each output";
    return NULL;
}
