/* Axes, lines and bands: see plot.h. */
#include "runtime/report/plot.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 480, HEIGHT = 240, LEFT = 50, RIGHT = 12, TOP = 10, BOTTOM = 34 };
static const double wide = WIDTH - LEFT - RIGHT, tall = HEIGHT - TOP - BOTTOM;

struct axes {
    double x0, x1, y0, y1;
    bool log;
}; /* y0, y1: log10 of the values where log */

static double at_x(const struct axes *a, double x)
{
    return LEFT + wide * (x - a->x0) / (a->x1 - a->x0);
}

static double at_y(const struct axes *a, double y)
{
    double v = a->log ? log10(y) : y;
    return TOP + tall * (1 - (v - a->y0) / (a->y1 - a->y0));
}

/* -- ranges -- */

static void widen(double *low, double *high, double v)
{
    if (isfinite(v)) {
        *low = fmin(*low, v);
        *high = fmax(*high, v);
    }
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Whether the largest value is so far above the middle one that a linear axis would show nothing
 * else. */
static bool spreads(const struct vrt_series *s, double low, double high)
{
    double sorted[VRT_POINTS];
    size_t n = 0;
    for (size_t i = 0; i < s->n && n < VRT_POINTS; i++)
        if (isfinite(s->y[i]))
            sorted[n++] = s->y[i];
    qsort(sorted, n, sizeof *sorted, by_size);
    return n > 0 && low > 0 && high > 20 * sorted[n / 2];
}

static double nice_step(double range, int count)
{
    double raw = range / count, unit = pow(10, floor(log10(raw))), part = raw / unit;
    return unit * (part < 1.5 ? 1 : part < 3.5 ? 2 : part < 7.5 ? 5 : 10);
}

static bool find_axes(struct axes *a, const struct vrt_plot *p, const struct vrt_series *s,
                      size_t ns)
{
    double x0 = INFINITY, x1 = -INFINITY, low = INFINITY, high = -INFINITY;
    for (size_t k = 0; k < ns; k++)
        for (size_t i = 0; i < s[k].n; i++) {
            if (!isfinite(s[k].y[i]))
                continue;
            widen(&x0, &x1, s[k].x[i]);
            widen(&low, &high, s[k].y[i]);
            if (s[k].low != NULL) {
                widen(&low, &high, s[k].low[i]);
                widen(&low, &high, s[k].high[i]);
            }
        }
    if (!(x0 <= x1) || !(low <= high))
        return false;
    a->log = p->spread && spreads(&s[0], low, high);
    if (!a->log) {
        widen(&low, &high, p->low);
        widen(&low, &high, p->high);
        widen(&low, &high, p->zero ? 0 : NAN);
    }
    a->x0 = x0 == x1 ? x0 - 1 : x0;
    a->x1 = x0 == x1 ? x1 + 1 : x1;
    a->y0 = a->log ? log10(low) : low;
    a->y1 = a->log ? log10(high) : high;
    double pad = a->y1 > a->y0 ? 0.04 * (a->y1 - a->y0) : fabs(a->y1) > 0 ? 0.1 * fabs(a->y1) : 1;
    a->y0 -= a->y0 == 0 || a->y0 == p->low ? 0 : pad;
    a->y1 += a->y1 == p->high ? 0 : pad;
    return true;
}

/* -- the frame -- */

static const char *tick_text(vrt_number t, double v, double step)
{
    int digits = step < 1 ? (int)ceil(-log10(step) - 1e-9) : 0;
    if (v != 0 && (fabs(v) >= 1e5 || (step < 1e-4)))
        return fabs(v) >= 1e5 ? vrt_short_text(t, v)
                              : (snprintf(t, sizeof(vrt_number), "%.0e", v), t);
    snprintf(t, sizeof(vrt_number), "%.*f", digits, v + 0.0);
    return t;
}

static void y_tick(struct vrt_markup *m, double y, const char *text, const char *unit)
{
    vrt_htmlf(m,
              "<path class=\"grid\" d=\"M%d %.1fH%d\"/><text x=\"%d\" y=\"%.1f\" "
              "class=\"ey\">%s%s</text>",
              LEFT, y, WIDTH - RIGHT, LEFT - 6, y + 4, text, unit != NULL ? unit : "");
}

/* A decade each; between them 2 and 5 where decades are few. */
static void log_ticks(struct vrt_markup *m, const struct axes *a, const char *unit)
{
    static const double parts[] = {1, 2, 5};
    vrt_number t;
    int every = (int)ceil((a->y1 - a->y0) / 6), count = a->y1 - a->y0 < 2.6 ? 3 : 1;
    for (int d = (int)floor(a->y0); d <= (int)ceil(a->y1); d += every > 0 ? every : 1)
        for (int i = 0; i < count; i++) {
            double v = parts[i] * pow(10, d);
            if (log10(v) >= a->y0 && log10(v) <= a->y1)
                y_tick(m, at_y(a, v), (snprintf(t, sizeof t, "%g", v), t), unit);
        }
}

static void frame(struct vrt_markup *m, const struct axes *a, const struct vrt_plot *p)
{
    vrt_number t;
    double step = nice_step(a->y1 - a->y0, 4);
    if (a->log)
        log_ticks(m, a, p->unit);
    for (double i = ceil(a->y0 / step - 1e-9); !a->log && i * step <= a->y1 + 1e-9 * step; i++)
        y_tick(m, at_y(a, i * step), tick_text(t, i * step, step), p->unit);
    step = nice_step(a->x1 - a->x0, 6);
    for (double i = ceil(a->x0 / step - 1e-9); i * step <= a->x1 + 1e-9 * step; i++)
        vrt_htmlf(m,
                  "<path class=\"tick\" d=\"M%.1f %dv4\"/><text x=\"%.1f\" y=\"%d\" "
                  "class=\"ex\">%s</text>",
                  at_x(a, i * step), HEIGHT - BOTTOM, at_x(a, i * step), HEIGHT - BOTTOM + 16,
                  tick_text(t, i * step, step));
    vrt_htmlf(m,
              "<path class=\"axis\" d=\"M%d %dH%d\"/><text x=\"%.0f\" y=\"%d\" class=\"ex "
              "name\">%s</text>",
              LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, LEFT + wide / 2, HEIGHT - 3, p->x_name);
}

static const double *last_of(const struct vrt_series *s)
{
    for (size_t i = s->n; i > 0; i--)
        if (isfinite(s->y[i - 1]))
            return &s->y[i - 1];
    return NULL;
}

/* What the picture shows, in words. */
static void describe(struct vrt_markup *m, const struct vrt_plot *p, const struct vrt_series *s,
                     size_t ns)
{
    vrt_number t[4];
    vrt_html(m, "<title>");
    vrt_html_text(m, p->title);
    vrt_html(m, "</title><desc>");
    for (size_t k = 0; k < ns; k++) {
        double low = INFINITY, high = -INFINITY;
        const double *last = last_of(&s[k]);
        for (size_t i = 0; i < s[k].n; i++) {
            widen(&low, &high, s[k].low != NULL ? s[k].low[i] : s[k].y[i]);
            widen(&low, &high, s[k].high != NULL ? s[k].high[i] : s[k].y[i]);
        }
        if (last == NULL)
            continue;
        vrt_html_text(m, s[k].name);
        vrt_htmlf(m, ": lowest %s, highest %s, last %s. ", vrt_value_text(t[0], low),
                  vrt_value_text(t[1], high), vrt_value_text(t[2], *last));
    }
    vrt_html(m, "</desc>");
}

static void begin_figure(struct vrt_markup *m, const struct vrt_plot *p, const struct vrt_series *s,
                         size_t ns)
{
    vrt_number t;
    vrt_html(m, "<figure class=\"plot\"><figcaption><b>");
    vrt_html_text(m, p->title);
    vrt_htmlf(m, "</b><span class=\"at\" data-name=\"%s\"></span><span class=\"legend\">",
              p->x_name);
    for (size_t k = 0; k < ns; k++) {
        const double *last = last_of(&s[k]);
        vrt_htmlf(m, "<span class=\"key\"><i class=\"k%d%s\"></i>", s[k].colour,
                  s[k].dashed ? " dash" : "");
        vrt_html_text(m, s[k].name);
        vrt_htmlf(m, " <span class=\"v\">%s%s</span></span>",
                  last != NULL ? vrt_value_text(t, *last) : "", p->unit ? p->unit : "");
    }
    vrt_html(m, "</span></figcaption>");
}

static void begin_svg(struct vrt_markup *m, const struct axes *a)
{
    vrt_htmlf(m,
              "<svg viewBox=\"0 0 %d %d\" role=\"img\" data-x=\"%d %g %.9g %.9g\" data-y=\"%d %g "
              "%.9g %.9g %d\">",
              WIDTH, HEIGHT, LEFT, wide, a->x0, a->x1, TOP, tall, a->y0, a->y1, a->log);
}

/* -- what is drawn -- */

static void area(struct vrt_markup *m, const struct axes *a, int colour, const double *x,
                 const double *low, const double *high, size_t n)
{
    const char *move = "M";
    vrt_htmlf(m, "<path class=\"area c%d\" d=\"", colour);
    for (size_t i = 0; i < n; i++)
        if (isfinite(high[i])) {
            vrt_htmlf(m, "%s%.1f %.1f", move, at_x(a, x[i]), at_y(a, high[i]));
            move = " ";
        }
    for (size_t i = n; i > 0; i--)
        if (isfinite(low[i - 1]))
            vrt_htmlf(m, " %.1f %.1f", at_x(a, x[i - 1]), at_y(a, low[i - 1]));
    vrt_html(m, "Z\"/>");
}

static void line(struct vrt_markup *m, const struct axes *a, const struct vrt_series *s)
{
    bool gap = true;
    vrt_htmlf(m, "<path class=\"line c%d%s%s\" d=\"", s->colour, s->dashed ? " dash" : "",
              s->dots ? " dots" : "");
    for (size_t i = 0; i < s->n; i++) {
        if (!isfinite(s->y[i])) {
            gap = true;
            continue;
        }
        vrt_htmlf(m, "%s%.1f %.2f", gap ? "M" : " ", at_x(a, s->x[i]), at_y(a, s->y[i]));
        gap = false;
    }
    vrt_html(m, "\"/>");
    if (!s->dots || s->n > 40)
        return;
    vrt_htmlf(m, "<g class=\"c%d\">", s->colour);
    for (size_t i = 0; i < s->n; i++)
        if (isfinite(s->y[i]))
            vrt_htmlf(m, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2.6\"/>", at_x(a, s->x[i]),
                      at_y(a, s->y[i]));
    vrt_html(m, "</g>");
}

static void nothing(struct vrt_markup *m, const struct vrt_plot *p)
{
    vrt_html(m, "<figure class=\"plot\"><figcaption><b>");
    vrt_html_text(m, p->title);
    vrt_html(m, "</b></figcaption><p class=\"none\">No values yet.</p></figure>");
}

void vrt_plot_lines(struct vrt_markup *m, const struct vrt_plot *p, const struct vrt_series *s,
                    size_t ns)
{
    struct axes a;
    if (!find_axes(&a, p, s, ns)) {
        nothing(m, p);
        return;
    }
    begin_figure(m, p, s, ns);
    begin_svg(m, &a);
    describe(m, p, s, ns);
    frame(m, &a, p);
    for (size_t k = 0; k < ns; k++)
        if (s[k].low != NULL)
            area(m, &a, s[k].colour, s[k].x, s[k].low, s[k].high, s[k].n);
    for (size_t k = 0; k < ns; k++)
        line(m, &a, &s[k]);
    vrt_html(m, "</svg>");
    if (a.log)
        vrt_html(
            m,
            "<p class=\"note\">Logarithmic axis: the largest values lie far from the others.</p>");
    vrt_html(m, "</figure>");
}

static void bands_head(struct vrt_markup *m, const struct vrt_plot *p, const double *y,
                       size_t parts, size_t n)
{
    vrt_html(m, "<figure class=\"plot bands\"><figcaption><b>");
    vrt_html_text(m, p->title);
    vrt_htmlf(m, "</b><span class=\"at\" data-name=\"%s\"></span><span class=\"legend\">",
              p->x_name);
    for (size_t k = 0; k < parts; k++)
        vrt_htmlf(
            m,
            "<span class=\"key\"><i class=\"k%zu\"></i>%zu <span class=\"v\">%.1f%%</span></span>",
            k % VRT_COLOURS, k, y[k * n + n - 1]);
    vrt_html(m, "</span></figcaption>");
}

/* Bands lie on one another: the upper edge of each is the lower one of the next. One point is drawn
 * as a stretch. */
static void bands(struct vrt_markup *m, const struct axes *a, const double *x, const double *y,
                  double *edge, size_t parts, size_t n)
{
    double ends[2] = {a->x0, a->x1}, *above = edge + n;
    for (size_t k = 0; k < parts; k++) {
        for (size_t i = 0; i < n; i++)
            above[i] = edge[i] + (isfinite(y[k * n + i]) ? y[k * n + i] : 0);
        double low[2] = {edge[0], edge[0]}, high[2] = {above[0], above[0]};
        if (n == 1)
            area(m, a, (int)(k % VRT_COLOURS), ends, low, high, 2);
        else
            area(m, a, (int)(k % VRT_COLOURS), x, edge, above, n);
        memcpy(edge, above, n * sizeof *edge);
    }
}

void vrt_plot_bands(struct vrt_markup *m, const struct vrt_plot *p, const double *x,
                    const double *y, size_t parts, size_t n)
{
    double *edge = vrt_html_room(m, 2 * n + 1, sizeof *edge);
    if (edge == NULL || n == 0) {
        free(edge);
        nothing(m, p);
        return;
    }
    struct axes a = {x[0] - (n == 1 ? 0.5 : 0), x[n - 1] + (n == 1 ? 0.5 : 0), 0, p->high, false};
    bands_head(m, p, y, parts, n);
    begin_svg(m, &a);
    vrt_html(m, "<title>");
    vrt_html_text(m, p->title);
    vrt_htmlf(
        m, "</title><desc>One band for each of %zu experts; their shares add up to 100 %%.</desc>",
        parts);
    bands(m, &a, x, y, edge, parts, n);
    frame(m, &a, p);
    vrt_html(m, "</svg></figure>");
    free(edge);
}

void vrt_plot_box(struct vrt_markup *m, const char *kind, double x, double y, double width,
                  double height)
{
    vrt_htmlf(m, "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>", kind,
              x, y, width, height);
}

void vrt_thin(struct vrt_thin *t, const double *x, const double *y, size_t stride, size_t n)
{
    t->n = n < VRT_POINTS ? n : VRT_POINTS;
    t->whole = n <= VRT_POINTS;
    for (size_t bin = 0; bin < t->n; bin++) {
        size_t first = bin * n / t->n, end = (bin + 1) * n / t->n, count = 0;
        double sum = 0, low = INFINITY, high = -INFINITY;
        for (size_t i = first; i < end; i++) {
            double v = y[i * stride];
            if (!isfinite(v))
                continue;
            sum += v;
            count++;
            widen(&low, &high, v);
        }
        t->x[bin] = 0.5 * (x[first * stride] + x[(end - 1) * stride]);
        t->mean[bin] = count > 0 ? sum / (double)count : NAN;
        t->low[bin] = count > 0 ? low : NAN;
        t->high[bin] = count > 0 ? high : NAN;
    }
}
