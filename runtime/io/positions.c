/* Resampling of positions: see positions.h. Columns first, then rows, in double precision between
 * and within. */
#include "runtime/io/positions.h"

#include <math.h>
#include <stdlib.h>

static double cubic(double x)
{
    x = fabs(x);
    if (x < 1)
        return (1.5 * x - 2.5) * x * x + 1;
    return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

/* Which of n inputs make output i of m, and their weights; returns how many from *first on. */
static int64_t weigh(int64_t i, int64_t n, int64_t m, int64_t *first, double *weights)
{
    double scale = (double)n / (double)m, stretch = scale > 1 ? scale : 1,
           centre = scale * ((double)i + 0.5), sum = 0;
    int64_t low = (int64_t)(centre - 2 * stretch + 0.5),
            high = (int64_t)(centre + 2 * stretch + 0.5);
    low = low < 0 ? 0 : low;
    high = high > n ? n : high;
    for (int64_t j = low; j < high; j++) {
        weights[j - low] = cubic(((double)j - centre + 0.5) / stretch);
        sum += weights[j - low];
    }
    for (int64_t j = 0; j < high - low; j++)
        weights[j] /= sum;
    *first = low;
    return high - low;
}

/* to[k] = sum over j of weights[j] x from[j * step + k], n terms, k < cols. */
static void blend(const double *weights, int64_t n, const double *from, int64_t step, int64_t cols,
                  double *to)
{
    for (int64_t k = 0; k < cols; k++) {
        double sum = 0;
        for (int64_t j = 0; j < n; j++)
            sum += weights[j] * from[j * step + k];
        to[k] = sum;
    }
}

/* The scratch: weights; the whole old grid; (old.height, new.width, cols) between the passes; one
 * row of numbers. */
struct scratch {
    double *weights, *old, *between, *row;
};

static void resample(const struct scratch *s, struct vrt_grid old, float *to, struct vrt_grid new,
                     int64_t cols)
{
    int64_t first, n;
    for (int64_t x = 0; x < new.width; x++) {
        n = weigh(x, old.width, new.width, &first, s->weights);
        for (int64_t y = 0; y < old.height; y++)
            blend(s->weights, n, s->old + (y * old.width + first) * cols, cols, cols,
                  s->between + (y * new.width + x) * cols);
    }
    for (int64_t y = 0; y < new.height; y++) {
        n = weigh(y, old.height, new.height, &first, s->weights);
        for (int64_t x = 0; x < new.width; x++) {
            blend(s->weights, n, s->between + (first * new.width + x) * cols, new.width *cols, cols,
                  s->row);
            for (int64_t k = 0; k < cols; k++)
                to[(y * new.width + x) * cols + k] = (float)s->row[k];
        }
    }
}

bool vrt_positions_resample(const float *from, struct vrt_grid old, float *to, struct vrt_grid new,
                            int64_t cols)
{
    size_t size = (size_t)(old.height * old.width * cols),
           longest = (size_t)(old.height > old.width ? old.height : old.width);
    struct scratch s = {
        .weights = calloc(longest, sizeof(double)),
        .old = calloc(size, sizeof(double)),
        .row = calloc((size_t)cols, sizeof(double)),
        .between = calloc((size_t)(old.height * new.width *cols), sizeof(double)),
    };
    bool ok = s.weights != NULL && s.old != NULL && s.row != NULL && s.between != NULL;
    for (size_t i = 0; ok && i < size; i++)
        s.old[i] = (double)from[i];
    if (ok)
        resample(&s, old, to, new, cols);
    free(s.weights);
    free(s.old);
    free(s.row);
    free(s.between);
    return ok;
}
