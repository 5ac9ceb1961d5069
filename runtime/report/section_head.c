/* The head of the page: what ran, how far it is, what came out. */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/show.h"
#include "runtime/io/verdict.h"
#include "runtime/report/section.h"

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : "";
}

static double sum_seconds(const struct vrt_history *h)
{
    double sum = 0;
    for (size_t i = 0; i < h->nepochs; i++)
        sum += isfinite(h->epochs[i].seconds) ? h->epochs[i].seconds : 0;
    return sum;
}

/* -- how far it is -- */

static void state_line(struct vrt_page *p)
{
    static const char *const words[] = {"running", "stopped", "finished"};
    const struct vrt_history *h = p->h;
    double all = vrt_history_key(h, "train.epochs");
    double steps = h->nsteps > 0 ? h->steps[h->nsteps - 1].step : 0;
    double done = h->nepochs > 0 ? h->epochs[h->nepochs - 1].epoch : 0;
    vrt_number t, left;
    vrt_htmlf(&p->m, "<p class=\"state %s\"><b>%s</b> ", words[p->r->state], words[p->r->state]);
    if (all > 0)
        vrt_htmlf(&p->m, "epoch %s of %s", vrt_count_text(t, done), vrt_count_text(left, all));
    else
        vrt_htmlf(&p->m, "epoch %s", vrt_count_text(t, done));
    vrt_htmlf(&p->m, " · step %s", vrt_count_text(t, steps));
    if (p->r->state == VRT_RUN_GOES_ON && done > 0 && all > done)
        vrt_htmlf(&p->m, " · about %s of training left",
                  vrt_seconds_text(left, sum_seconds(h) / (double)h->nepochs * (all - done)));
    vrt_htmlf(&p->m, " · updated %s</p>", vrt_clock_text(t, p->r->now));
    double share = all > 0 && p->epoch_steps > 0 ? steps / p->epoch_steps / all : 0;
    if (p->r->state != VRT_RUN_FINISHED && share > 0)
        vrt_htmlf(&p->m, "<div class=\"progress\"><i style=\"width:%.1f%%\"></i></div>",
                  100 * fmin(share, 1));
}

/* -- what came out -- */

static void tile(struct vrt_page *p, const char *name, const char *value, const char *unit,
                 const char *below)
{
    vrt_htmlf(&p->m,
              "<div class=\"tile\"><span class=\"name\">%s</span><span "
              "class=\"value\">%s<small>%s</small></span>"
              "<span class=\"below\">%s</span></div>",
              name, value, unit, below);
}

static void accuracy_tiles(struct vrt_page *p)
{
    const struct vrt_history *h = p->h;
    vrt_number t[4];
    char below[160];
    double low, high;
    long i = vrt_history_best(h);
    if (i < 0) {
        tile(p, "best top-1", "–", "", "no evaluation yet");
        return;
    }
    const struct vrt_epoch_point *b = &h->epochs[i], *last = &h->epochs[h->nepochs - 1];
    if (b->images >= 1 && b->top1 >= 0 && b->top1 <= b->images) {
        vrt_interval((int64_t)b->top1, (int64_t)b->images, &low, &high);
        snprintf(below, sizeof below, "95 %% interval %.2f–%.2f<br/>%s of %s<br/>after epoch %s",
                 100 * low, 100 * high, vrt_count_text(t[1], b->top1),
                 vrt_count_text(t[2], b->images), vrt_count_text(t[3], b->epoch));
        tile(p, "best top-1", vrt_percent_text(t[0], b->top1, b->images), " %", below);
    }
    snprintf(below, sizeof below, "last epoch: top-1 %s %%<br/>top-5 %s %%",
             vrt_percent_text(t[1], last->top1, last->images),
             vrt_percent_text(t[2], last->top5, last->images));
    tile(p, "top-5 of that epoch", vrt_percent_text(t[0], b->top5, b->images), " %", below);
    snprintf(below, sizeof below, "training loss %s<br/>of the last epoch",
             vrt_value_text(t[1], last->train_loss));
    tile(p, "validation loss", vrt_value_text(t[0], last->loss), "", below);
}

static void speed_tile(struct vrt_page *p)
{
    const struct vrt_history *h = p->h;
    double seconds = sum_seconds(h), pictures = 0;
    vrt_number t, s;
    char below[120] = "";
    for (size_t i = 0; i < h->nepochs; i++)
        pictures += isfinite(h->epochs[i].seconds * h->epochs[i].speed)
                        ? h->epochs[i].seconds * h->epochs[i].speed
                        : 0;
    if (h->nepochs == 0)
        return;
    if (pictures > 0 && seconds > 0)
        snprintf(below, sizeof below, "%s pictures per second<br/>%s seen",
                 vrt_count_text(t, pictures / seconds), vrt_short_text(s, pictures));
    else
        snprintf(below, sizeof below, "%s pictures per second",
                 vrt_count_text(t, h->epochs[h->nepochs - 1].speed));
    tile(p, "training time", vrt_seconds_text(t, seconds), "", below);
}

static void size_tile(struct vrt_page *p)
{
    double total = vrt_member(p->info, "params_total"),
           active = vrt_member(p->info, "params_active");
    double macs = vrt_member(p->info, "macs");
    vrt_number t[3];
    char below[120];
    if (!(total > 0))
        return;
    snprintf(below, sizeof below, "%s active per picture<br/>%s MACs", vrt_short_text(t[1], active),
             vrt_short_text(t[2], macs));
    tile(p, "parameters", vrt_short_text(t[0], total), "", below);
}

/* -- what ran -- */

static void fact(struct vrt_page *p, const char *name, const char *value)
{
    if (value[0] == '\0')
        return;
    vrt_htmlf(&p->m, "<dt>%s</dt><dd>", name);
    vrt_html_text(&p->m, value);
    vrt_html(&p->m, "</dd>");
}

/* As a shell takes it. */
static void shell_word(struct vrt_markup *m, const char *word)
{
    size_t size = 4 * strlen(word) + 4;
    char *quoted = malloc(size);
    if (quoted != NULL)
        vrt_html_text(m, vrt_quote(quoted, size, word));
    else
        m->failed = m->failed || !vrt_fail(m->e, VRT_NO_MEMORY, "no memory for the report");
    free(quoted);
}

static void command_line(struct vrt_page *p)
{
    const json_t *list = json_object_get(p->h->run, "command");
    if (json_array_size(list) == 0)
        return;
    vrt_html(&p->m, "<dt>command</dt><dd><code>");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *word = json_string_value(json_array_get(list, i));
        vrt_html(&p->m, i > 0 ? " " : "");
        shell_word(&p->m, word != NULL ? word : "");
    }
    vrt_html(&p->m, "</code></dd>");
}

/* What `--overfit` learns it is evaluated on, too. */
static void say_validation(struct vrt_page *p, const json_t *keys, double overfit)
{
    double holdout = vrt_member(keys, "data.holdout");
    vrt_number t;
    if (overfit > 0)
        vrt_html(&p->m, "the same");
    else if (holdout > 0)
        vrt_htmlf(&p->m, "the %.4g %% of each class that are held out", 100 * holdout);
    else {
        vrt_html(&p->m, "“");
        const char *other = text_of(p->h->run, "stand_in");
        vrt_html_text(&p->m, other[0] != '\0' ? other : text_of(keys, "data.val"));
        vrt_html(&p->m, other[0] != '\0' ? "”, which stands in for a validation set" : "”");
    }
    if (p->h->nepochs > 0)
        vrt_htmlf(&p->m, " (%s pictures)",
                  vrt_count_text(t, p->h->epochs[p->h->nepochs - 1].images));
}

static void data_fact(struct vrt_page *p)
{
    const json_t *keys = json_object_get(p->h->run, "keys");
    vrt_number t;
    double pictures = vrt_member(json_object_get(p->h->run, "data"), "pictures"),
           classes = vrt_member(p->h->run, "classes");
    double overfit = vrt_history_key(p->h, "train.overfit"),
           limit = overfit > 0 ? overfit : vrt_history_key(p->h, "data.limit");
    if (text_of(keys, "data.root")[0] == '\0')
        return;
    vrt_html(&p->m, "<dt>data</dt><dd>");
    vrt_html_text(&p->m, text_of(keys, "data.root"));
    vrt_html(&p->m, ": train on “");
    vrt_html_text(&p->m, text_of(keys, "data.train"));
    vrt_htmlf(&p->m, "” (%s pictures", vrt_count_text(t, pictures));
    if (classes > 0)
        vrt_htmlf(&p->m, " of %s classes", vrt_count_text(t, classes));
    if (limit > 0 && limit < pictures)
        vrt_htmlf(&p->m, ", %s of them taken", vrt_count_text(t, limit));
    vrt_html(&p->m, "), evaluate on ");
    say_validation(p, keys, overfit);
    vrt_html(&p->m, "</dd>");
}

static void facts(struct vrt_page *p)
{
    const json_t *run = p->h->run, *host = json_object_get(run, "host");
    char text[400], started[60] = "", folder[PATH_MAX];
    vrt_number t;
    vrt_html(&p->m, "<dl class=\"facts\">");
    data_fact(p);
    command_line(p);
    fact(p, "folder", realpath(p->r->folder, folder) != NULL ? folder : p->r->folder);
    fact(p, "weights from", text_of(run, "weights"));
    snprintf(text, sizeof text, "%.100s (%.60s %.100s), %.0f processors, %.0f threads",
             text_of(host, "name"), text_of(host, "machine"), text_of(host, "system"),
             vrt_member(host, "processors"), vrt_member(run, "threads"));
    fact(p, "host", host != NULL ? text : "");
    if (vrt_history_started(p->h) > 0)
        snprintf(started, sizeof started, "%s", vrt_clock_text(t, vrt_history_started(p->h)));
    fact(p, "started", started);
    snprintf(text, sizeof text, "seed %.0f, batch %.0f in calls of %.0f",
             vrt_history_key(p->h, "train.seed"), vrt_history_key(p->h, "train.batch"),
             vrt_member(run, "images_per_call"));
    fact(p, "steps", run != NULL ? text : "");
    fact(p, "spec", text_of(run, "spec_file"));
    fact(p, "compiler", text_of(run, "compiler"));
    vrt_html(&p->m, "</dl>");
}

static void warnings(struct vrt_page *p)
{
    const json_t *list = p->h->warnings;
    size_t n = json_array_size(list), shown = n < 50 ? n : 50;
    vrt_number t;
    if (n == 0)
        return;
    vrt_htmlf(&p->m, "<div class=\"warnings\" role=\"note\"><b>%zu warning%s</b><ul>", n,
              n == 1 ? "" : "s");
    for (size_t i = 0; i < shown; i++) {
        const json_t *w = json_array_get(list, i);
        vrt_html(&p->m, "<li>");
        vrt_html_text(&p->m, text_of(w, "warning"));
        if (isfinite(vrt_member(w, "epoch")))
            vrt_htmlf(&p->m, " <small>epoch %.0f, step %s</small>", vrt_member(w, "epoch"),
                      vrt_count_text(t, vrt_member(w, "step")));
        vrt_html(&p->m, "</li>");
    }
    vrt_html(&p->m, "</ul>");
    if (n > shown)
        vrt_htmlf(&p->m, "<p>%zu more are in metrics.jsonl.</p>", n - shown);
    vrt_html(&p->m, "</div>");
}

void vrt_section_head(struct vrt_page *p)
{
    const char *model = text_of(p->h->run, "model");
    vrt_html(&p->m, "<header><p class=\"brow\">vmoe run</p><h1>");
    vrt_html_text(&p->m, model[0] != '\0' ? model : "unnamed run");
    vrt_html(&p->m, "</h1>");
    state_line(p);
    vrt_html(&p->m, "<div class=\"tiles\">");
    accuracy_tiles(p);
    speed_tile(p);
    size_tile(p);
    vrt_html(&p->m, "</div>");
    warnings(p);
    if (p->h->run == NULL)
        vrt_html(&p->m,
                 "<p class=\"none\">run.json is missing: what ran, and on what, is not known.</p>");
    facts(p);
    vrt_html(&p->m,
             "<nav><a href=\"#curves\">Curves</a><a href=\"#experts\">Experts</a><a "
             "href=\"#classes\">Classes</a>"
             "<a href=\"#mistakes\">Mistakes</a><a href=\"#network\">Network</a></nav></header>");
}
