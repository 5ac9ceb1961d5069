/* The MoE layers: how much each expert gets, what is dropped, how sure the router is, which classes
 * go where. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/report/layers.h"
#include "runtime/report/plot.h"
#include "runtime/report/section.h"

enum {
    BANDS = 8,
    COLUMNS = 120,
    CLASS_COLUMNS = 250,
    TABLE_CLASSES = 20,
    OPEN_LAYERS = 4,
    FAVOURITES = 5,
    LISTED = 64
};

static double last_load(const struct vrt_layer *l, size_t k)
{
    return l->n > 0 ? l->load[k * l->n + l->n - 1] : NAN;
}

/* -- all layers at a glance -- */

static void overview_row(struct vrt_page *p, const struct vrt_layer *l)
{
    double most = 0, least = 1, even = 1 / (double)l->experts,
           entropy = l->n > 0 ? l->entropy[l->n - 1] : NAN;
    size_t dead = 0;
    vrt_number t[2];
    for (size_t k = 0; k < l->experts; k++) {
        most = fmax(most, last_load(l, k));
        least = fmin(least, last_load(l, k));
        dead += vrt_layer_dead_since(l, k) > 0;
    }
    vrt_row_begin(&p->m, l->name);
    vrt_htmlf(&p->m, "<td>%zu</td>", l->experts);
    if (l->n > 0)
        vrt_htmlf(&p->m, "<td>%.1f %% <small>%.2f ×</small></td><td>%.1f %%</td><td>%s %%</td>",
                  100 * most, most / even, 100 * least,
                  vrt_percent_text(t[0], l->dropped[l->n - 1], 1));
    else
        vrt_html(&p->m, "<td>–</td><td>–</td><td>–</td>");
    if (isfinite(entropy) && l->experts > 1)
        vrt_htmlf(&p->m, "<td>%.3f <small>%.0f %% of ln E</small></td>", entropy,
                  100 * entropy / log((double)l->experts));
    else
        vrt_html(&p->m, "<td>–</td>");
    vrt_htmlf(&p->m, "<td%s>%zu</td></tr>", dead > 0 ? " class=\"bad\"" : "", dead);
}

static void overview(struct vrt_page *p, const json_t *list)
{
    vrt_table_begin(
        &p->m, "sort",
        "MoE layers in the training of the last epoch. “×” is times an equal share, 1/E.",
        "layer|experts|largest load|smallest|dropped|router entropy|dead");
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct vrt_layer l;
        if (!p->m.failed && !vrt_layer_read(&l, p->h, json_array_get(list, i), p->m.e))
            p->m.failed = true;
        else if (!p->m.failed) {
            overview_row(p, &l);
            vrt_layer_free(&l);
        }
    }
    vrt_table_end(&p->m);
}

/* -- loads over the epochs -- */

static void row_labels(struct vrt_markup *m, size_t n)
{
    vrt_html(m, "<div class=\"rows\" aria-hidden=\"true\">");
    for (size_t k = 0; k < n; k++)
        if (n <= 32 || k % 8 == 0)
            vrt_htmlf(m, "<span>%zu</span>", k);
    vrt_html(m, "</div>");
}

static void load_map(struct vrt_page *p, const double *y, size_t experts, size_t n, double first,
                     double last)
{
    vrt_htmlf(&p->m,
              "<figure class=\"plot\"><figcaption><b>Load of each expert</b><span "
              "class=\"legend\"><span class=\"scale\">"
              "0<i></i>"
              "2 × equal share</span></span></figcaption><div class=\"map\" style=\"--rows:%zu\">",
              experts);
    row_labels(&p->m, experts);
    vrt_heat_map(&p->m, "Load of each expert (rows) over the epochs (columns)", y, experts, n,
                 200 / (double)experts);
    vrt_htmlf(&p->m,
              "</div><p class=\"ends\"><span>epoch %.0f</span><span>epoch %.0f</span></p></figure>",
              first, last);
}

/* Epochs as at most COLUMNS means, in percent. */
static void load_figure(struct vrt_page *p, const struct vrt_layer *l)
{
    size_t n = l->n < COLUMNS ? l->n : COLUMNS;
    double *x = vrt_html_room(&p->m, (l->experts + 1) * n + 1, sizeof *x),
           *y = x != NULL ? x + n : NULL;
    struct vrt_plot plot = {
        .title = "Load of each expert", .unit = "%", .x_name = "epoch", .low = 0, .high = 100};
    for (size_t i = 0; x != NULL && i < n; i++) {
        size_t first = i * l->n / n, end = (i + 1) * l->n / n;
        x[i] = 0.5 * (l->epoch[first] + l->epoch[end - 1]);
        for (size_t k = 0; k < l->experts; k++)
            for (size_t j = first; j < end; j++)
                y[k * n + i] += 100 * l->load[k * l->n + j] / (double)(end - first);
    }
    if (x == NULL)
        return;
    if (l->experts <= BANDS || n == 0)
        vrt_plot_bands(&p->m, &plot, x, y, l->experts, n);
    else
        load_map(p, y, l->experts, n, l->epoch[0], l->epoch[l->n - 1]);
    free(x);
}

static void router_figures(struct vrt_page *p, const struct vrt_layer *l)
{
    struct vrt_plot plot = {.title = "Dropped choices",
                            .unit = "%",
                            .x_name = "epoch",
                            .zero = true,
                            .low = NAN,
                            .high = NAN};
    double *percent = vrt_html_room(&p->m, l->n + 1, sizeof *percent),
           even = log((double)l->experts), ends[2], evens[2] = {even, even};
    bool sure = false;
    if (percent == NULL)
        return;
    for (size_t i = 0; i < l->n; i++) {
        percent[i] = 100 * l->dropped[i];
        sure = sure || isfinite(l->entropy[i]);
    }
    struct vrt_series s[2] = {
        {.name = "dropped", .colour = 1, .dots = true, .n = l->n, .x = l->epoch, .y = percent}};
    vrt_plot_lines(&p->m, &plot, s, 1);
    if (sure) {
        ends[0] = l->epoch[0];
        ends[1] = l->epoch[l->n - 1];
        plot = (struct vrt_plot){.title = "Router entropy, nats",
                                 .x_name = "epoch",
                                 .zero = true,
                                 .low = NAN,
                                 .high = NAN};
        s[0] = (struct vrt_series){
            .name = "mean", .colour = 2, .dots = true, .n = l->n, .x = l->epoch, .y = l->entropy};
        s[1] = (struct vrt_series){
            .name = "ln E, undecided", .colour = 7, .dashed = true, .n = 2, .x = ends, .y = evens};
        vrt_plot_lines(&p->m, &plot, s, 2);
    }
    free(percent);
}

static void dead_experts(struct vrt_page *p, const struct vrt_layer *l)
{
    size_t dead = 0;
    for (size_t k = 0; k < l->experts; k++) {
        double since = vrt_layer_dead_since(l, k);
        if (since > 0 && dead++ < LISTED)
            vrt_htmlf(&p->m, "%s %zu (since epoch %.0f)",
                      dead == 1 ? "<p class=\"dead\"><b>Dead:</b> expert" : ",", k, since);
    }
    if (dead > 0)
        vrt_htmlf(&p->m, "%s. Each got less than a tenth of an equal share.</p>",
                  dead > LISTED ? " and more" : "");
}

/* -- classes -- */

static void class_cells(struct vrt_page *p, const struct vrt_meeting *t)
{
    double top = 0;
    for (size_t i = 0; i < t->experts * t->classes; i++)
        top = fmax(top, t->share[i]);
    vrt_html(&p->m, "<div class=\"scroll\"><table class=\"cells\"><caption>Which expert the "
                    "choices of each class went to, in %, "
                    "at the last evaluation"
                    "</caption><thead><tr><th scope=\"col\">expert</th>");
    for (size_t i = 0; i < t->classes; i++) {
        vrt_html(&p->m, "<th scope=\"col\"><span>");
        vrt_html_text(&p->m, vrt_class_name(p, t->order[i]));
        vrt_html(&p->m, "</span></th>");
    }
    vrt_html(&p->m, "</tr></thead><tbody>");
    for (size_t k = 0; k < t->experts; k++) {
        vrt_htmlf(&p->m, "\n<tr><th scope=\"row\">%zu</th>", k);
        for (size_t i = 0; i < t->classes; i++) {
            double share = t->share[k * t->classes + i];
            vrt_htmlf(&p->m, "<td%s style=\"--h:%.2f\">%.0f</td>",
                      share > 0.75 * top ? " class=\"hi\"" : "", share / top, 100 * share);
        }
        vrt_html(&p->m, "</tr>");
    }
    vrt_html(&p->m, "</tbody></table></div>");
}

/* Many classes: each column is the mean of neighbours in the sorted order. */
static void class_map(struct vrt_page *p, const struct vrt_meeting *t)
{
    size_t n = t->classes < CLASS_COLUMNS ? t->classes : CLASS_COLUMNS;
    double *cell = vrt_html_room(&p->m, t->experts * n + 1, sizeof *cell), top = 0;
    for (size_t i = 0; cell != NULL && i < n; i++) {
        size_t first = i * t->classes / n, end = (i + 1) * t->classes / n;
        for (size_t k = 0; k < t->experts; k++) {
            for (size_t j = first; j < end; j++)
                cell[k * n + i] += t->share[k * t->classes + j] / (double)(end - first);
            top = fmax(top, cell[k * n + i]);
        }
    }
    vrt_htmlf(
        &p->m,
        "<figure class=\"plot\"><figcaption><b>Classes by expert</b><span class=\"legend\"><span "
        "class=\"scale\">"
        "0<i></i>%.0f %% of "
        "the choices of a class</span></span></figcaption><div class=\"map\" style=\"--rows:%zu\">",
        100 * top, t->experts);
    row_labels(&p->m, t->experts);
    if (cell != NULL)
        vrt_heat_map(&p->m, "Share of the choices of classes (columns) that each expert (rows) got",
                     cell, t->experts, n, top);
    vrt_htmlf(&p->m,
              "</div><p class=\"note\">%zu classes from left to right, sorted by the expert that "
              "gets most of them%s.</p>"
              "</figure>",
              t->classes, n < t->classes ? "; a column is the mean of neighbours" : "");
    free(cell);
}

/* The classes of which an expert got the largest shares. */
static void favourites(struct vrt_page *p, const struct vrt_meeting *t, size_t k)
{
    double before = INFINITY;
    size_t last = 0, shown = 0;
    while (shown < FAVOURITES && shown < t->classes) {
        size_t best = t->classes;
        for (size_t i = 0; i < t->classes; i++) {
            double v = t->share[k * t->classes + i];
            bool after = v < before || (v == before && i > last);
            if (after && (best == t->classes || v > t->share[k * t->classes + best]))
                best = i;
        }
        if (best == t->classes || t->share[k * t->classes + best] < 0.005)
            return;
        before = t->share[k * t->classes + best];
        last = best;
        vrt_html(&p->m, shown++ > 0 ? ", " : "");
        vrt_html_text(&p->m, vrt_class_name(p, t->order[best]));
        vrt_htmlf(&p->m, " <small>%.0f %%</small>", 100 * before);
    }
}

static void expert_table(struct vrt_page *p, const struct vrt_layer *l, const struct vrt_meeting *t)
{
    double most = 0;
    for (size_t k = 0; k < l->experts; k++)
        most = fmax(most, last_load(l, k));
    vrt_table_begin(&p->m, "sort tight",
                    "Experts, with the classes of which they got the largest share",
                    "expert|load in training|<most of");
    for (size_t k = 0; k < l->experts; k++) {
        char name[24], text[40];
        double load = last_load(l, k);
        snprintf(name, sizeof name, "%zu", k);
        snprintf(text, sizeof text, isfinite(load) ? "%.1f %%" : "–", 100 * load);
        vrt_row_begin(&p->m, name);
        vrt_bar_cell(&p->m, load / most, text);
        vrt_html(&p->m, "<td class=\"word\">");
        if (k < t->experts)
            favourites(p, t, k);
        vrt_html(&p->m, "</td></tr>");
    }
    vrt_table_end(&p->m);
}

static void class_part(struct vrt_page *p, const struct vrt_layer *l)
{
    struct vrt_meeting t = {0};
    if (p->m.failed || !vrt_meeting_read(&t, p->h, l->name, p->m.e))
        p->m.failed = true;
    else if (t.classes == 0)
        vrt_html(&p->m, "<p class=\"none\">analysis.json tells nothing about the classes that met "
                        "these experts.</p>");
    else {
        if (t.classes <= TABLE_CLASSES && t.experts <= LISTED)
            class_cells(p, &t);
        else
            class_map(p, &t);
        if (l->experts <= LISTED && t.classes > 4)
            expert_table(p, l, &t);
    }
    vrt_meeting_free(&t);
}

static void layer_part(struct vrt_page *p, const json_t *entry, bool fold, bool open)
{
    struct vrt_layer l;
    if (p->m.failed || !vrt_layer_read(&l, p->h, entry, p->m.e)) {
        p->m.failed = true;
        return;
    }
    vrt_htmlf(&p->m, "\n<%s class=\"layer\"%s><%s>", fold ? "details" : "article",
              open ? " open=\"open\"" : "", fold ? "summary" : "h3");
    vrt_html_text(&p->m, l.name);
    vrt_htmlf(&p->m, " <small>%zu experts</small></%s>", l.experts, fold ? "summary" : "h3");
    dead_experts(p, &l);
    if (l.n > 0) {
        if (l.experts > BANDS)
            load_figure(p, &l);
        vrt_htmlf(&p->m, "<div class=\"%s\">", l.experts > BANDS ? "grid2" : "grid3");
        if (l.experts <= BANDS)
            load_figure(p, &l);
        router_figures(p, &l);
        vrt_html(&p->m, "</div>");
    } else
        vrt_html(&p->m, "<p class=\"none\">metrics.jsonl holds no loads of this layer.</p>");
    class_part(p, &l);
    vrt_htmlf(&p->m, "</%s>", fold ? "details" : "article");
    vrt_layer_free(&l);
}

void vrt_section_experts(struct vrt_page *p)
{
    const json_t *list = vrt_layer_list(p->h);
    size_t n = json_array_size(list);
    vrt_section_begin(p, "experts", "Experts", NULL);
    if (n == 0 && json_array_size(json_object_get(p->info, "moe")) == 0 && p->info != NULL)
        vrt_html(&p->m, "<p class=\"none\">This network has no MoE layers.</p>");
    else if (n == 0)
        vrt_html(&p->m, "<p class=\"none\">Neither metrics.jsonl nor analysis.json tells anything "
                        "about experts.</p>");
    else
        overview(p, list);
    for (size_t i = 0; i < n; i++)
        layer_part(p, json_array_get(list, i), n > OPEN_LAYERS, n > OPEN_LAYERS && i == 0);
    vrt_html(&p->m, "</section>");
}
