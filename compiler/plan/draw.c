/* The arena over time as one SVG file (--emit svg): launches of the training step from left to
 * right, offsets upwards, a rectangle for each buffer, and a line for the bytes that are alive.
 * What lies between the line's peak and the top is lost in packing. */
#include "config.h"

#include "compiler/plan/plan.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "compiler/graph/graph.h"
#include "lang/base/arena.h"

/* The page and the plot on it, in pixels of the SVG. */
enum { WIDTH = 1280, HEIGHT = 784, LEFT = 76, RIGHT = 1252, TOP = 112, BOTTOM = 708 };

enum kind { KIND_SAVED, KIND_AGAIN, KIND_GRADIENT, KIND_TEMPORARY, KINDS };

static const struct {
    const char *class, *colour, *legend;
} kinds[] = {
    [KIND_SAVED] = {"saved", "#4c78a8", "saved for the backward pass"},
    [KIND_AGAIN] = {"again", "#72b7b2", "made again"},
    [KIND_GRADIENT] = {"gradient", "#f58518", "gradients"},
    [KIND_TEMPORARY] = {"temporary", "#b8b3ad", "temporaries"},
};

struct drawing {
    const struct plan *p;
    FILE *out;
    int launches, forward; /* of the step, of its forward pass */
    int64_t *live;         /* bytes alive, by launch */
    int peak;              /* launch */
};

static double mib(int64_t bytes)
{
    return (double)bytes / (1 << 20);
}

static double x_of(const struct drawing *d, double launch)
{
    return LEFT + (RIGHT - LEFT) * launch / d->launches;
}

static double y_of(const struct drawing *d, double bytes)
{
    return BOTTOM - (BOTTOM - TOP) * bytes / (double)d->p->arena_train_bytes;
}

static int last_of(const struct drawing *d, const struct buffer *b)
{
    return b->last < d->launches ? b->last : d->launches - 1;
}

static enum kind kind_of(const struct drawing *d, const struct buffer *b)
{
    const struct node *from = b->value ? b->value->from : NULL;
    if (b->first < d->forward)
        return b->last < d->forward ? KIND_TEMPORARY : KIND_SAVED;
    return !from ? KIND_TEMPORARY : from->again ? KIND_AGAIN : KIND_GRADIENT;
}

static void measure_live(struct drawing *d)
{
    d->live = arena_array(d->p->arena, (size_t)d->launches + 1, sizeof *d->live);
    for (size_t i = 0; i < d->p->ntrain_buffers; i++) {
        const struct buffer *b = d->p->train_buffers[i];
        d->live[b->first] += b->bytes;
        d->live[last_of(d, b) + 1] -= b->bytes;
    }
    for (int i = 1; i < d->launches; i++) {
        d->live[i] += d->live[i - 1];
        d->peak = d->live[i] > d->live[d->peak] ? i : d->peak;
    }
}

/* -- marks on the page -- */

/* Names are the user's labels: any text. */
static void escaped(const char *text, FILE *out)
{
    for (; *text; text++)
        switch (*text) {
        case '&': fputs("&amp;", out); break;
        case '<': fputs("&lt;", out); break;
        case '>': fputs("&gt;", out); break;
        default:  fputc((unsigned char)*text < ' ' ? ' ' : *text, out);
        }
}

/* The least of 1, 2, 5 times a power of ten that cuts `range` into at most ten. */
static double tick(double range)
{
    double unit = pow(10, floor(log10(range / 10)));
    return range / unit <= 10   ? unit
           : range / unit <= 20 ? 2 * unit
           : range / unit <= 50 ? 5 * unit
                                : 10 * unit;
}

static void draw_axes(const struct drawing *d)
{
    double top = mib(d->p->arena_train_bytes), step = tick(top);
    for (int i = 0; i * step <= top; i++) {
        double y = y_of(d, i * step * (1 << 20));
        fprintf(d->out,
                "<path class=\"grid\" d=\"M%d %.1fH%d\"/><text x=\"%d\" y=\"%.1f\" "
                "text-anchor=\"end\">%g</text>\n",
                LEFT, y, RIGHT, LEFT - 8, y + 4, i * step);
    }
    step = fmax(1, tick(d->launches));
    for (int i = 0; i * step <= d->launches; i++)
        fprintf(d->out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%g</text>\n",
                x_of(d, i * step), BOTTOM + 18, i * step);
    fprintf(d->out,
            "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">launch</text><text x=\"%d\" "
            "y=\"%d\">MiB</text>\n",
            RIGHT, BOTTOM + 36, LEFT - 36, TOP - 10);
}

static void draw_buffer(const struct drawing *d, const struct buffer *b)
{
    int last = last_of(d, b);
    double x = x_of(d, b->first), y = y_of(d, (double)(b->offset + b->bytes));
    fprintf(
        d->out, "<rect class=\"%s\" x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\"><title>",
        kinds[kind_of(d, b)].class, x, y, x_of(d, last + 1) - x, y_of(d, (double)b->offset) - y);
    escaped(b->name ? b->name : "", d->out);
    fprintf(d->out, ": %.3g MiB (%" PRId64 " bytes), launches %d .. %d: ", mib(b->bytes), b->bytes,
            b->first, last);
    escaped(d->p->train_step.launches[b->first]->name, d->out);
    fputs(" .. ", d->out);
    escaped(d->p->train_step.launches[last]->name, d->out);
    fputs("</title></rect>\n", d->out);
}

/* Forward and backward, with a thin line between. */
static void draw_passes(const struct drawing *d)
{
    double x = x_of(d, d->forward);
    fprintf(d->out, "<path class=\"pass\" d=\"M%.1f %dV%d\"/>\n", x, TOP - 22, BOTTOM);
    fprintf(d->out,
            "<text x=\"%.1f\" y=\"%d\" text-anchor=\"end\">forward</text><text x=\"%.1f\" "
            "y=\"%d\">backward</text>\n",
            x - 8, TOP - 10, x + 8, TOP - 10);
}

static void draw_live(const struct drawing *d)
{
    fputs("<path class=\"live\" d=\"M", d->out);
    for (int i = 0; i < d->launches; i++)
        fprintf(d->out, "%s%.2f %.2fH%.2f", i ? "L" : "", x_of(d, i), y_of(d, (double)d->live[i]),
                x_of(d, i + 1));
    double x = x_of(d, d->peak + 0.5), y = y_of(d, (double)d->live[d->peak]);
    bool right = d->peak > d->launches / 2;
    fprintf(d->out,
            "\"/>\n<circle cx=\"%.2f\" cy=\"%.2f\" r=\"4.5\"/>\n<text class=\"peak\" x=\"%.2f\" "
            "y=\"%.2f\" "
            "text-anchor=\"%s\">peak: %.1f MiB in launch %d, ",
            x, y, right ? x - 12 : x + 12, fmax(y, TOP + 12) + 4, right ? "end" : "start",
            mib(d->live[d->peak]), d->peak);
    escaped(d->p->train_step.launches[d->peak]->name, d->out);
    fputs("</text>\n", d->out);
}

/* -- around the plot -- */

static void draw_style(const struct drawing *d)
{
    fputs(
        "<style>text{font:13px "
        "sans-serif;fill:#333}.title{font-size:20px;font-weight:bold}.peak{font-weight:bold;paint-"
        "order:stroke;"
        "stroke:#fff;stroke-width:3px}.grid{stroke:#e4e4e4}.pass{stroke:#333;stroke-dasharray:5 3}"
        ".live{fill:none;stroke:#111;stroke-width:1.6}circle{fill:#d62728;stroke:#fff;stroke-width:"
        "1.5}"
        ".buffers{stroke:#fff;stroke-width:.3}",
        d->out);
    for (int i = 0; i < KINDS; i++)
        fprintf(d->out, ".%s{fill:%s}", kinds[i].class, kinds[i].colour);
    fputs("</style>\n", d->out);
}

static void draw_title(const struct drawing *d, int64_t memory)
{
    const struct plan *p = d->p;
    fprintf(d->out, "<text class=\"title\" x=\"%d\" y=\"34\">", LEFT);
    escaped(p->train->spec->model.name, d->out);
    fprintf(d->out,
            ": the arena of a training step</text>\n<text x=\"%d\" y=\"58\">micro-batch of %" PRId64
            " images; recompute = %s; "
            "arena %.1f MiB (%" PRId64
            " bytes); training takes %.1f MiB in all; evaluation's arena %.1f MiB</text>\n",
            LEFT, p->train->micro, recompute_words[p->train->recompute], mib(p->arena_train_bytes),
            p->arena_train_bytes, mib(memory), mib(p->arena_eval_bytes));
}

static void draw_legend(const struct drawing *d)
{
    int x = LEFT, y = HEIGHT - 20;
    for (int i = 0; i < KINDS; x += 46 + 7 * (int)strlen(kinds[i].legend), i++)
        fprintf(d->out,
                "<rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"14\" height=\"14\"/><text x=\"%d\" "
                "y=\"%d\">%s</text>\n",
                kinds[i].class, x, y - 12, x + 20, y, kinds[i].legend);
    fprintf(
        d->out,
        "<path class=\"live\" d=\"M%d %dh20\"/><text x=\"%d\" y=\"%d\">all that is alive</text>\n",
        x, y - 5, x + 26, y);
}

void plan_draw(const struct plan *p, int64_t memory, FILE *out)
{
    struct drawing d = {
        .p = p, .out = out, .launches = (int)p->train_step.n, .forward = (int)p->train_forward};
    measure_live(&d);
    fprintf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\">\n", WIDTH,
            HEIGHT);
    draw_style(&d);
    fprintf(out, "<rect fill=\"#fff\" width=\"%d\" height=\"%d\"/>\n", WIDTH, HEIGHT);
    draw_title(&d, memory);
    draw_axes(&d);
    fputs("<g class=\"buffers\">\n", out);
    for (size_t i = 0; i < p->ntrain_buffers; i++)
        draw_buffer(&d, p->train_buffers[i]);
    fputs("</g>\n", out);
    draw_passes(&d);
    draw_live(&d);
    draw_legend(&d);
    fputs("</svg>\n", out);
}
