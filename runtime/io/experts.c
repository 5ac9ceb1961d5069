/* Sums and tables of the experts: see experts.h. */
#include "runtime/io/experts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/io/put.h"

/* -- sums -- */

bool vrt_experts_open(struct vrt_experts *x, const struct vrt_program *p, bool similarity,
                      struct vrt_error *e)
{
    size_t squares = 0;
    *x = (struct vrt_experts){.moes = p->moes,
                              .nmoes = p->nmoes,
                              .classes = p->classes,
                              .width = p->choices,
                              .nbalance = p->balance_bytes / 4};
    for (int64_t i = 0; i < p->nmoes; i++)
        squares += (size_t)p->moes[i].experts * (size_t)p->moes[i].experts;
    x->balance = calloc((size_t)x->nbalance + 1, sizeof *x->balance);
    x->chosen = calloc((size_t)x->classes + 1, sizeof *x->chosen * ((size_t)x->width + 1));
    x->images = calloc((size_t)x->classes + 1, sizeof *x->images);
    x->common = similarity ? calloc(squares + 1, sizeof *x->common) : NULL;
    if (x->balance != NULL && x->chosen != NULL && x->images != NULL &&
        (x->common != NULL || !similarity))
        return true;
    vrt_experts_close(x);
    return vrt_fail(e, VRT_NO_MEMORY, "no memory for the counts of the experts");
}

void vrt_experts_close(struct vrt_experts *x)
{
    free(x->balance);
    free(x->chosen);
    free(x->images);
    free(x->common);
    *x = (struct vrt_experts){0};
}

/* A picture's choices of the experts of one layer. */
static void add_common(double *common, const float *c, int32_t experts)
{
    for (int32_t i = 0; i < experts; i++)
        for (int32_t j = i; c[i] > 0 && j < experts; j++)
            common[i * experts + j] += (double)(c[i] < c[j] ? c[i] : c[j]);
}

static void add_picture(struct vrt_experts *x, const float *choices, double *chosen)
{
    double *common = x->common;
    for (int64_t i = 0; i < x->width; i++)
        chosen[i] += (double)choices[i];
    for (int64_t l = 0; common != NULL && l < x->nmoes; l++) {
        int32_t experts = x->moes[l].experts;
        add_common(common, choices + x->moes[l].choices_offset, experts);
        common += experts * experts;
    }
}

/* Of a layer: 3 E + 1 counts, then the entropy. */
void vrt_balance_drain(const struct vrt_moe *moes, int64_t nmoes, void *balance, double *sums)
{
    for (int64_t l = 0; l < nmoes; l++) {
        char *at = (char *)balance + moes[l].balance_offset;
        double *to = sums + moes[l].balance_offset / 4;
        int64_t n = 3 * (int64_t)moes[l].experts + 1;
        for (int64_t i = 0; i < n; i++)
            to[i] += ((int32_t *)(void *)at)[i];
        to[n] += (double)((float *)(void *)at)[n];
        memset(at, 0, 4 * ((size_t)n + 1));
    }
}

void vrt_experts_add(struct vrt_experts *x, void *balance, const float *choices,
                     const int32_t *labels, int64_t n)
{
    vrt_balance_drain(x->moes, x->nmoes, balance, x->balance);
    for (int64_t p = 0; p < n; p++) {
        x->images[labels[p]]++;
        if (x->nmoes > 0)
            add_picture(x, choices + p * x->width, x->chosen + labels[p] * x->width);
    }
}

/* -- a layer as JSON -- */

static double sum_of(const double *v, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += v[i];
    return sum;
}

bool vrt_put_layer(struct vrt_buffer *b, const struct vrt_moe *moe, const double *balance,
                   struct vrt_error *e)
{
    const double *made = balance + moe->balance_offset / 4, *dropped = made + moe->experts,
                 *items = dropped + moe->experts;
    const double *entropy = items + 1 + moe->experts;
    double all = sum_of(made, moe->experts), some = all > 0 ? all : 1;
    bool ok = vrt_put(b, e, "\"layer\":") && vrt_put_string(b, moe->name, e) &&
              vrt_put(b, e, ",\"load\":[");
    for (int32_t i = 0; ok && i < moe->experts; i++)
        ok = vrt_put(b, e, "%s%.6g", i > 0 ? "," : "", made[i] / some);
    return ok &&
           vrt_put(b, e, "],\"dropped\":%.6g,\"entropy\":", sum_of(dropped, moe->experts) / some) &&
           vrt_put_number(b, moe->top_k > 0 ? *entropy / *items : NAN, e);
}

/* -- tables -- */

static bool put_class(struct vrt_buffer *b, const struct vrt_experts *x, const struct vrt_moe *moe,
                      int32_t expert, int64_t c, const char *name, struct vrt_error *e)
{
    return vrt_put_field(b, moe->name, e) && vrt_put(b, e, ",%d,", expert) &&
           vrt_put_field(b, name, e) &&
           vrt_put(b, e, ",%lld,%.0f\n", (long long)x->images[c],
                   x->chosen[c * x->width + moe->choices_offset + expert]);
}

bool vrt_put_experts(struct vrt_buffer *b, const struct vrt_experts *x, vrt_class_namer *name,
                     const void *data, struct vrt_error *e)
{
    bool ok = vrt_put(b, e, "layer,expert,class,images,choices\n");
    for (int64_t l = 0; l < x->nmoes; l++)
        for (int32_t i = 0; i < x->moes[l].experts; i++)
            for (int64_t c = 0; ok && c < x->classes; c++)
                ok = put_class(b, x, &x->moes[l], i, c, name(data, c), e);
    return ok;
}

/* All choices of each expert are on the diagonal: min(c_i, c_i). */
static bool put_similarities(struct vrt_buffer *b, const struct vrt_moe *moe, const double *common,
                             struct vrt_error *e)
{
    int32_t n = moe->experts;
    bool ok = true;
    for (int32_t i = 0; i < n; i++)
        for (int32_t j = 0; ok && j < n; j++) {
            double either = common[i * n + i] + common[j * n + j],
                   both = common[i < j ? i * n + j : j * n + i];
            ok = vrt_put_field(b, moe->name, e) && vrt_put(b, e, ",%d,%d,", i, j) &&
                 (either > 0 ? vrt_put(b, e, "%.9g\n", 2 * both / either) : vrt_put(b, e, "\n"));
        }
    return ok;
}

bool vrt_put_similarity(struct vrt_buffer *b, const struct vrt_experts *x, struct vrt_error *e)
{
    const double *common = x->common;
    bool ok = vrt_put(b, e, "layer,expert_i,expert_j,similarity\n");
    for (int64_t l = 0; ok && l < x->nmoes; l++) {
        ok = put_similarities(b, &x->moes[l], common, e);
        common += x->moes[l].experts * x->moes[l].experts;
    }
    return ok;
}
