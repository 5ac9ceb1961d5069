/* What the last evaluation says of classes: hits of each, the pairs that are confused, how sure the
 * network is. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/report/plot.h"
#include "runtime/report/section.h"

enum { ALL_SHOWN = 60, ENDS = 25, STEPS = 20, PAIRS_SHOWN = 20, BARS = 100 };

struct class
{
    size_t index;
    double images, top1, top5, share;
};

static int by_share(const void *a, const void *b)
{
    const struct class *x = a, *y = b;
    if (x->share != y->share)
        return (y->share > x->share) - (y->share < x->share);
    return (x->index > y->index) - (x->index < y->index);
}

/* Classes with pictures, the best first; *n of them. NULL: none, or no memory. */
static struct class *read_classes(struct vrt_page *p, const json_t *list, size_t *n)
{
    struct class *c = vrt_html_room(&p->m, json_array_size(list) + 1, sizeof *c);
    *n = 0;
    for (size_t i = 0; c != NULL && i < json_array_size(list); i++) {
        const json_t *j = json_array_get(list, i);
        struct class one = {i, vrt_member(j, "images"), vrt_member(j, "top1"),
                            vrt_member(j, "top5"), 0};
        one.share = one.top1 / one.images;
        if (one.images > 0 && isfinite(one.share))
            c[(*n)++] = one;
    }
    if (c != NULL)
        qsort(c, *n, sizeof *c, by_share);
    return c;
}

static void class_table(struct vrt_page *p, const char *caption, const struct class *c, size_t n)
{
    vrt_number t;
    vrt_table_begin(&p->m, "sort", caption, "class|pictures|top-1 %|top-5 %");
    for (size_t i = 0; i < n; i++) {
        vrt_row_begin(&p->m, vrt_class_name(p, c[i].index));
        vrt_htmlf(&p->m, "<td>%s</td>", vrt_count_text(t, c[i].images));
        vrt_bar_cell(&p->m, c[i].share, vrt_percent_text(t, c[i].top1, c[i].images));
        vrt_htmlf(&p->m, "<td>%s</td></tr>", vrt_percent_text(t, c[i].top5, c[i].images));
    }
    vrt_table_end(&p->m);
}

/* How many classes have which accuracy, in steps of 5 %. */
static void distribution(struct vrt_page *p, const struct class *c, size_t n)
{
    size_t count[STEPS] = {0}, most = 1;
    for (size_t i = 0; i < n; i++) {
        size_t bin = (size_t)fmin(STEPS - 1, c[i].share * STEPS);
        most = ++count[bin] > most ? count[bin] : most;
    }
    vrt_html(&p->m,
             "<figure class=\"plot wide\"><figcaption><b>Classes by their top-1</b></figcaption>"
             "<svg viewBox=\"0 0 1080 190\" role=\"img\"><title>Number of classes by top-1 "
             "accuracy</title>");
    for (int b = 0; b < STEPS; b++) {
        double height = 130.0 * (double)count[b] / (double)most, x = 20 + 52.0 * b;
        vrt_plot_box(&p->m, "c0", x + 1, 150 - height, 50, height);
        if (count[b] > 0)
            vrt_htmlf(&p->m, "<text class=\"ex\" x=\"%.0f\" y=\"%.1f\">%zu</text>", x + 26,
                      144 - height, count[b]);
    }
    for (int i = 0; i <= 10; i++)
        vrt_htmlf(&p->m, "<text class=\"ex\" x=\"%d\" y=\"167\">%d%%</text>", 20 + 104 * i, 10 * i);
    vrt_html(&p->m, "<path class=\"axis\" d=\"M14 150.5H1066\"/><text class=\"ex name\" x=\"540\" "
                    "y=\"187\">top-1 of a class</text>"
                    "</svg></figure>");
}

void vrt_section_classes(struct vrt_page *p)
{
    const json_t *list = json_object_get(p->h->analysis, "classes");
    size_t n;
    vrt_section_begin(p, "classes", "Classes", NULL);
    struct class *c = read_classes(p, list, &n);
    if (list == NULL || n == 0)
        vrt_html(
            &p->m,
            "<p class=\"none\">analysis.json is missing or holds no classes; each evaluation of a "
            "training writes it.</p>");
    else if (n <= ALL_SHOWN) {
        vrt_html(&p->m, n > 12 ? "<div class=\"grid2\"><div>" : "");
        class_table(p, "Hits of each class at the last evaluation, the best first", c,
                    n > 12 ? (n + 1) / 2 : n);
        vrt_html(&p->m, n > 12 ? "</div><div>" : "");
        if (n > 12)
            class_table(p, "The other half", c + (n + 1) / 2, n / 2);
        vrt_html(&p->m, n > 12 ? "</div></div>" : "");
    } else {
        distribution(p, c, n);
        vrt_html(&p->m, "<div class=\"grid2\"><div>");
        class_table(p, "The 25 best classes", c, ENDS);
        vrt_html(&p->m, "</div><div>");
        class_table(p, "The 25 worst classes", c + n - ENDS, ENDS);
        vrt_htmlf(&p->m, "</div></div><details><summary>All %zu classes</summary>", n);
        class_table(p, "Hits of each class at the last evaluation", c, n);
        vrt_html(&p->m, "</details>");
    }
    vrt_html(&p->m, "</section>");
    free(c);
}

/* -- mistakes -- */

static void pair_table(struct vrt_page *p, const json_t *list, size_t first, size_t end,
                       double most)
{
    vrt_number t;
    vrt_table_begin(&p->m, "sort pairs", "Classes taken for one another, the most frequent first",
                    "is|<was taken for|times|of its pictures");
    for (size_t i = first; i < end; i++) {
        const json_t *j = json_array_get(list, i);
        double label = vrt_member(j, "true"), other = vrt_member(j, "predicted"),
               count = vrt_member(j, "count");
        if (!(label >= 0 && other >= 0 && label < 1e9 && other < 1e9))
            continue;
        double images = vrt_member(
            json_array_get(json_object_get(p->h->analysis, "classes"), (size_t)label), "images");
        vrt_row_begin(&p->m, vrt_class_name(p, (size_t)label));
        vrt_html(&p->m, "<td class=\"word\">");
        vrt_html_text(&p->m, vrt_class_name(p, (size_t)other));
        vrt_html(&p->m, "</td>");
        vrt_bar_cell(&p->m, count / most, vrt_count_text(t, count));
        vrt_htmlf(&p->m, "<td>%s %%</td></tr>", vrt_percent_text(t, count, images));
    }
    vrt_table_end(&p->m);
}

static void pairs(struct vrt_page *p)
{
    const json_t *list = json_object_get(p->h->analysis, "confused");
    size_t n = json_array_size(list), shown = n < PAIRS_SHOWN ? n : PAIRS_SHOWN;
    double most = vrt_member(json_array_get(list, 0), "count");
    if (n == 0) {
        vrt_htmlf(&p->m, "<p class=\"none\">%s</p>",
                  list == NULL ? "No pairs are recorded." : "No picture was misclassified.");
        return;
    }
    pair_table(p, list, 0, shown, most);
    if (n == shown)
        return;
    vrt_htmlf(&p->m, "<details><summary>%zu more pairs</summary>", n - shown);
    pair_table(p, list, shown, n, most);
    vrt_html(&p->m, "</details>");
}

/* Hits over confidence: on the diagonal a network knows how sure it may be. Below: how many
 * pictures each bin holds. */
static void reliability(struct vrt_markup *m, const json_t *bins)
{
    size_t n = json_array_size(bins);
    double width = 400.0 / (double)n, most = 1;
    vrt_number t;
    for (size_t i = 0; i < n; i++)
        most = fmax(most, vrt_member(json_array_get(bins, i), "images"));
    vrt_html(m, "<svg viewBox=\"0 0 480 400\" role=\"img\"><title>Reliability diagram: share of "
                "hits by confidence</title>");
    for (int i = 0; i <= 4; i++) {
        vrt_htmlf(m,
                  "<path class=\"grid\" d=\"M54 %dH454\"/><text class=\"ey\" x=\"48\" "
                  "y=\"%d\">%d%%</text>",
                  270 - 65 * i, 274 - 65 * i, 25 * i);
        vrt_htmlf(m, "<text class=\"ex\" x=\"%d\" y=\"376\">%d%%</text>", 54 + 100 * i, 25 * i);
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *bin = json_array_get(bins, i);
        double images = vrt_member(bin, "images"), x = 55 + width * (double)i,
               count = 64 * images / most;
        double sure = vrt_member(bin, "confidence") / images,
               hit = vrt_member(bin, "hits") / images;
        if (!(images > 0) || !isfinite(sure + hit))
            continue;
        vrt_htmlf(m, "<g><title>confidence %.1f %%, hits %.1f %%, %s pictures</title>", 100 * sure,
                  100 * hit, vrt_count_text(t, images));
        vrt_plot_box(m, "c0", x, 270 - 260 * hit, width - 2, 260 * hit);
        vrt_plot_box(m, "gap", x, 270 - 260 * fmax(hit, sure), width - 2, 260 * fabs(hit - sure));
        vrt_plot_box(m, "c7", x, 356 - count, width - 2, count);
        vrt_html(m, "</g>");
    }
    vrt_html(
        m,
        "<path class=\"diagonal\" d=\"M54 270L454 10\"/><path class=\"axis\" d=\"M54 270.5H454M54 "
        "356.5H454\"/>"
        "<text class=\"ex name\" x=\"254\" y=\"396\">confidence of the first guess</text></svg>");
}

static void calibration(struct vrt_page *p)
{
    const json_t *j = json_object_get(p->h->analysis, "calibration"),
                 *bins = json_object_get(j, "bins");
    double error = vrt_member(j, "error");
    if (json_array_size(bins) == 0)
        return;
    vrt_html(&p->m, "<figure class=\"plot\"><figcaption><b>Calibration</b><span class=\"legend\">"
                    "<span class=\"key\"><i class=\"k0\"></i>hits</span>"
                    "<span class=\"key\"><i class=\"kgap\"></i>gap to the confidence</span>"
                    "<span class=\"key\"><i class=\"k7\"></i>pictures</span></span></figcaption>");
    reliability(&p->m, bins);
    vrt_htmlf(&p->m,
              "<p class=\"note\">Expected calibration error %.2f %%: how far confidence and hits "
              "lie apart, on average.</p>"
              "</figure>",
              100 * error);
}

void vrt_section_mistakes(struct vrt_page *p)
{
    vrt_section_begin(p, "mistakes", "Mistakes", NULL);
    if (p->h->analysis == NULL)
        vrt_html(&p->m, "<p class=\"none\">analysis.json is missing: confused pairs and "
                        "calibration are not known.</p>");
    else {
        vrt_html(&p->m, "<div class=\"grid2\"><div>");
        pairs(p);
        vrt_html(&p->m, "</div><div>");
        calibration(p);
        vrt_html(&p->m, "</div></div>");
    }
    vrt_html(&p->m, "</section>");
}
