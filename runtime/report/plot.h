/* Curves in SVG, drawn so that they can be read without a script, in print and on a small screen.
 *
 * Colours are classes of the style sheet, c0 .. c7, so that a dark scheme can have others. */
#ifndef RUNTIME_REPORT_PLOT_H
#define RUNTIME_REPORT_PLOT_H

#include <stdbool.h>
#include <stddef.h>

#include "runtime/report/markup.h"

enum { VRT_COLOURS = 8, VRT_POINTS = 600 };

struct vrt_plot {
    const char *title, *unit; /* unit: "%" or NULL */
    const char *x_name;       /* "epoch", "step" */
    bool zero;                /* the axis begins at 0 */
    bool spread;      /* logarithmic if all are positive and the largest is far from the middle */
    double low, high; /* the axis covers at least this; NaN: only what is drawn */
};

struct vrt_series {
    const char *name;
    int colour;
    bool dashed, dots;
    size_t n;
    const double *x, *y;      /* NaN: a gap */
    const double *low, *high; /* around y, or NULL */
};

/* A figure with its legend; nothing but a line of text where there is nothing to draw. */
void vrt_plot_lines(struct vrt_markup *m, const struct vrt_plot *p, const struct vrt_series *s,
                    size_t ns);

/* Shares that add up to `p->high`: y (parts, n), one band for each part. */
void vrt_plot_bands(struct vrt_markup *m, const struct vrt_plot *p, const double *x,
                    const double *y, size_t parts, size_t n);

/* A rectangle of a hand-made picture; `kind`: classes of the style sheet. */
void vrt_plot_box(struct vrt_markup *m, const char *kind, double x, double y, double width,
                  double height);

/* Many points as at most VRT_POINTS: the mean of each bin with its least and its largest value. No
 * value is left out of those. */
struct vrt_thin {
    size_t n;
    double x[VRT_POINTS], mean[VRT_POINTS], low[VRT_POINTS], high[VRT_POINTS];
    bool whole; /* each bin holds one point */
};

/* y[i * stride] at x[i * stride]; NaN is passed over, and a bin without numbers is a gap. */
void vrt_thin(struct vrt_thin *t, const double *x, const double *y, size_t stride, size_t n);

#endif
