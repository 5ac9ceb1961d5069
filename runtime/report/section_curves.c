/* Losses, accuracy, learning rate, gradient norm and speed over the run. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/report/plot.h"
#include "runtime/report/section.h"

/* One number of each evaluation, over its place. */
struct column {
    double *x, *y;
    size_t n;
};

static bool column_open(struct column *c, struct vrt_page *p)
{
    c->n = p->h->nepochs;
    c->x = vrt_html_room(&p->m, 2 * c->n + 1, sizeof *c->x);
    c->y = c->x != NULL ? c->x + c->n : NULL;
    for (size_t i = 0; c->x != NULL && i < c->n; i++)
        c->x[i] = vrt_page_x(p, p->h->epochs[i].step);
    return c->x != NULL;
}

static struct vrt_series steps_series(struct vrt_page *p, struct vrt_thin *t, const double *first,
                                      const char *name, int colour)
{
    size_t stride = sizeof *p->h->steps / sizeof(double);
    t->n = 0;
    t->whole = true;
    if (p->h->nsteps > 0)
        vrt_thin(t, &p->h->steps[0].step, first, stride, p->h->nsteps);
    for (size_t i = 0; i < t->n; i++)
        t->x[i] = vrt_page_x(p, t->x[i]);
    return (struct vrt_series){.name = name,
                               .colour = colour,
                               .n = t->n,
                               .x = t->x,
                               .y = t->mean,
                               .low = t->whole ? NULL : t->low,
                               .high = t->whole ? NULL : t->high};
}

/* Evaluations tell the cross-entropy, whatever is learnt. */
static bool learns_binary(const struct vrt_history *h)
{
    return h->spec.data != NULL &&
           strstr((const char *)h->spec.data, "loss = binary_cross_entropy") != NULL;
}

/* Two losses of one kind share a plot. */
static void loss_plot(struct vrt_page *p, struct vrt_thin *t, struct column *c)
{
    struct vrt_plot plot = {
        .title = "Loss", .x_name = vrt_page_x_name(p), .spread = true, .low = NAN, .high = NAN};
    struct vrt_series s[2] = {
        steps_series(p, t, p->h->nsteps > 0 ? &p->h->steps[0].loss : NULL, "training", 0)};
    for (size_t i = 0; i < c->n; i++)
        c->y[i] = p->h->epochs[i].loss;
    s[1] = (struct vrt_series){
        .name = "validation", .colour = 1, .dots = true, .n = c->n, .x = c->x, .y = c->y};
    if (!learns_binary(p->h)) {
        vrt_plot_lines(&p->m, &plot, s, 2);
        return;
    }
    plot.title = "Training loss, binary cross-entropy of a class";
    vrt_plot_lines(&p->m, &plot, s, 1);
    plot.title = "Validation loss, cross-entropy";
    vrt_plot_lines(&p->m, &plot, s + 1, 1);
}

static void accuracy_plot(struct vrt_page *p, struct column *c, struct column *d)
{
    struct vrt_plot plot = {.title = "Accuracy, validation",
                            .unit = "%",
                            .x_name = vrt_page_x_name(p),
                            .low = NAN,
                            .high = NAN};
    for (size_t i = 0; i < c->n; i++) {
        const struct vrt_epoch_point *at = &p->h->epochs[i];
        c->y[i] = at->images > 0 ? 100 * at->top1 / at->images : NAN;
        d->y[i] = at->images > 0 ? 100 * at->top5 / at->images : NAN;
    }
    struct vrt_series s[] = {
        {.name = "top-1", .colour = 0, .dots = true, .n = c->n, .x = c->x, .y = c->y},
        {.name = "top-5", .colour = 2, .dots = true, .n = d->n, .x = d->x, .y = d->y},
    };
    vrt_plot_lines(&p->m, &plot, s, 2);
}

static void step_plot(struct vrt_page *p, struct vrt_thin *t, const char *title,
                      const double *first, int colour, bool zero, bool spread)
{
    struct vrt_plot plot = {
        .title = title,
        .x_name = vrt_page_x_name(p),
        .zero = zero,
        .spread = spread,
        .low = NAN,
        .high = NAN,
    };
    struct vrt_series s = steps_series(p, t, first, "per step", colour);
    if (!t->whole)
        s.name = "mean and range";
    vrt_plot_lines(&p->m, &plot, &s, 1);
}

static bool any_balance(const struct vrt_history *h)
{
    for (size_t i = 0; i < h->nsteps; i++)
        if (h->steps[i].balance > 0)
            return true;
    return false;
}

void vrt_section_curves(struct vrt_page *p)
{
    const struct vrt_history *h = p->h;
    const struct vrt_step_point *first = h->steps;
    struct vrt_thin *t = vrt_html_room(&p->m, 1, sizeof *t);
    struct column c = {0}, d = {0};
    vrt_section_begin(p, "curves", "Curves", NULL);
    if (!h->metrics)
        vrt_html(&p->m, "<p class=\"none\">metrics.jsonl is missing: there are no curves.</p>");
    else if (h->nsteps == 0 && h->nepochs == 0)
        vrt_html(&p->m, "<p class=\"none\">No step has been done yet.</p>");
    else if (t != NULL && column_open(&c, p) && column_open(&d, p)) {
        vrt_html(&p->m, "<div class=\"grid2\">");
        loss_plot(p, t, &c);
        accuracy_plot(p, &c, &d);
        if (first != NULL) {
            step_plot(p, t, "Learning rate", &first->lr, 4, true, false);
            step_plot(p, t, "Gradient norm", &first->norm, 3, false, true);
            step_plot(p, t, "Speed, pictures per second", &first->speed, 5, true, false);
            if (any_balance(h))
                step_plot(p, t, "Balance loss of the experts", &first->balance, 6, false, true);
        }
        vrt_html(&p->m, "</div>");
    }
    vrt_html(&p->m, "</section>");
    free(t);
    free(c.x);
    free(d.x);
}
