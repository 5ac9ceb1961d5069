/* A claimed derivative against central differences.
 *
 * At radius r the central difference D(r) = (f(r) - f(-r)) / 2r has an error c r^2 + O(r^4) where f
 * is smooth, which two radii cancel: (4 D(r/2) - D(r)) / 3 (Richardson 1911). Rounding errors of f
 * make a part of noise / r. So radii are halved until nothing is left but noise; three in a row, a
 * window, give a derivative twice extrapolated, and how well these agree says how far it is to be
 * trusted (Ridders 1982).
 *
 * A kink at 0, or nearer than the radii, is invisible to D, which settles in the middle of the
 * slopes of both sides. But their difference, (f(r) - 2 f(0) + f(-r)) / r, which curvature makes
 * shrink like r, stays: extrapolated to 0 it is the height of the kink, and half of that may be
 * missing from the derivative. Of a kink below the noise, the height that it may have counts.
 *
 * A claim is right where one window that is sure enough bears it out. It is wrong where the two
 * surest windows exclude it, beyond all that may have gone wrong with them and beyond the claim's
 * own noise. Between the two nothing is said. */
#include "runtime/program/derivative.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>

enum {
    RADII = 22, /* steps of 1 .. 2^-21 */
    WINDOWS = RADII - 2
};

static const double tolerance = 3e-3; /* of a claim, relative: roundings of a backward pass */
static const double sure = 5e-3;      /* a window's error where it decides for a claim, relative */
static const double deviations = 4.0; /* of the noise that are believed possible */
static const double usual = 0.15;     /* the largest radius of the first window */
static const double local = 0.1; /* the smallest radius of a window that speaks against a claim */
static const double hopeless = 0.3; /* a share of noise that other radii would not mend */

struct radius {
    double r, central, bend; /* bend: the difference of the slopes on both sides */
    bool known;
};

struct window {
    double slope;
    double noise;  /* what rounding may have done to it, */
    double spread; /* what extrapolation may have; infinite: all is open */
    double kink;   /* half the height of the kink that is seen, */
    double hidden; /* and of the highest that may be there, under the noise */
};

struct search {
    const struct vrt_line *line;
    double claimed;
    struct radius at[RADII];
    struct window first;         /* of two radii */
    struct window seen[WINDOWS]; /* of infinite error where they have not been looked through */
};

static double radius_of(const struct vrt_line *l, int i)
{
    return ldexp(l->length, -i);
}

static struct radius measure(const struct vrt_line *l, int i)
{
    double step = ldexp(1.0, -i), r = radius_of(l, i);
    double ahead = l->value(l->data, step), behind = l->value(l->data, -step);
    return (struct radius){r, (ahead - behind) / (2.0 * r), (ahead - 2.0 * l->centre + behind) / r,
                           true};
}

static double extrapolated(const struct radius *far)
{
    return (4.0 * far[1].central - far[0].central) / 3.0;
}

/* A kink so near that all radii see it as one is seen by both pairs; the larger radii see lower
 * ones, the smaller ones are less disturbed by bends. */
static void look_for_kink(const struct radius *r, int pairs, double least, struct window *w)
{
    w->kink = w->hidden = INFINITY;
    for (int i = 0; i < pairs; i++) {
        double height = fabs(2.0 * r[i + 1].bend - r[i].bend), unseen = 5.0 * least / r[i + 1].r;
        w->kink = fmin(w->kink, height > unseen ? 0.5 * height : 0.0);
        w->hidden = fmin(w->hidden, 0.5 * (height + unseen));
    }
}

/* The formulas use differences of values of the smallest radius with factors that make about 1 of
 * the deviation of their noise, for kinks about 5. */
static struct window look(const struct radius r[3], double noise)
{
    double far = extrapolated(r), near = extrapolated(r + 1), least = deviations * noise;
    double spread = fmax(fabs(far - near), 0.25 * fabs(near - r[2].central));
    struct window w = {.slope = near, .noise = least / r[2].r, .spread = spread};
    look_for_kink(r, 2, least, &w);
    if (!isfinite(spread + w.hidden))
        w.spread = INFINITY;
    return w;
}

/* Two radii alone: the whole extrapolation is taken for its error. */
static struct window glance(const struct radius r[2], double noise)
{
    double slope = extrapolated(r), least = deviations * noise;
    struct window w = {
        .slope = slope, .noise = least / r[1].r, .spread = fabs(slope - r[1].central)};
    look_for_kink(r, 1, least, &w);
    return w;
}

static double size(const struct window *w, double claimed)
{
    return fmax(fabs(w->slope), fabs(claimed));
}

static bool bears_out(const struct window *w, double claimed)
{
    double s = size(w, claimed), error = w->noise + w->spread + w->kink;
    return error <= sure * s && fabs(w->slope - claimed) <= tolerance * s + error;
}

/* All that may make a right claim seem wrong; a spread may be small by chance. */
static double doubt(const struct window *w)
{
    return w->noise + 3.0 * w->spread + w->hidden;
}

static bool excludes(const struct window *w, double claimed, double noise)
{
    return fabs(w->slope - claimed) > tolerance * size(w, claimed) + doubt(w) + deviations * noise;
}

static struct vrt_judgement judgement(enum vrt_verdict verdict, const struct window *w,
                                      double claimed)
{
    double s = size(w, claimed);
    return (struct vrt_judgement){verdict, w->slope, s > 0.0 ? fabs(w->slope - claimed) / s : 0.0};
}

/* The function does not change at all, and nothing else was claimed. */
static bool flat(const struct search *s)
{
    bool same = s->claimed == 0.0;
    for (int i = 0; i < RADII && same; i++)
        same = !s->at[i].known || (s->at[i].central == 0.0 && s->at[i].bend == 0.0);
    return same;
}

/* Slopes that go on drifting as the radius shrinks (past one small kink after the other) seem
 * settled at each: a window errs by as much as those of smaller radii differ from it beyond their
 * noise. */
static struct window in_doubt(const struct search *s, int i)
{
    struct window w = s->seen[i];
    for (int j = i + 1; j < WINDOWS; j++)
        if (s->seen[j].spread < INFINITY)
            w.spread = fmax(w.spread, fabs(w.slope - s->seen[j].slope) - s->seen[j].noise);
    return w;
}

/* Windows that speak against a claim must be small: at large radii alone a function may look
 * settled that is another one near 0. */
static void find_best(const struct search *s, struct window best[2])
{
    best[0] = best[1] = (struct window){.spread = INFINITY};
    for (int i = 0; i < WINDOWS; i++) {
        struct window w = in_doubt(s, i);
        if (radius_of(s->line, i + 2) > local)
            continue;
        if (doubt(&w) < doubt(&best[0])) {
            best[1] = best[0];
            best[0] = w;
        } else if (doubt(&w) < doubt(&best[1])) {
            best[1] = w;
        }
    }
}

/* No window bears the claim out. */
static struct vrt_judgement decide(const struct search *s)
{
    struct window best[2];
    find_best(s, best);
    if (flat(s))
        return judgement(VRT_RIGHT, &best[0], s->claimed);
    if (best[0].spread == INFINITY)
        return judgement(VRT_UNCLEAR_VALUE, &best[0], s->claimed);
    if (!isfinite(s->claimed))
        return judgement(VRT_WRONG, &best[0], s->claimed);
    if (excludes(&best[0], s->claimed, 0.0) && excludes(&best[1], s->claimed, 0.0)) {
        double noise = s->line->claim_noise(s->line->data);
        return judgement(excludes(&best[0], s->claimed, noise) ? VRT_WRONG : VRT_UNCLEAR_NOISE,
                         &best[0], s->claimed);
    }
    bool noisy = best[0].noise + best[0].hidden > best[0].spread + 2.0 * best[0].kink;
    return judgement(noisy ? VRT_UNCLEAR_NOISE : VRT_UNCLEAR_SHAPE, &best[0], s->claimed);
}

static void need(struct search *s, int first, int n)
{
    for (int i = first; i < first + n; i++)
        if (!s->at[i].known)
            s->at[i] = measure(s->line, i);
}

/* Look through the window from radius i on. */
static const struct window *visit(struct search *s, int i)
{
    need(s, i, 3);
    s->seen[i] = look(s->at + i, s->line->noise);
    return &s->seen[i];
}

/* The first whose radius is at most so large. */
static int radius_below(const struct vrt_line *l, double largest)
{
    int i = 0;
    while (i < WINDOWS - 1 && radius_of(l, i) > largest)
        i++;
    return i;
}

/* From the usual radii down, until nothing is seen but noise, then up: the first window that bears
 * the claim out, or NULL. */
static const struct window *look_around(struct search *s)
{
    int largest = radius_below(s->line, 1.5), middle = radius_below(s->line, usual);
    need(s, middle, 2);
    s->first = glance(s->at + middle, s->line->noise);
    if (bears_out(&s->first, s->claimed))
        return &s->first;
    const struct window *w = visit(s, middle);
    if (w->noise > hopeless * size(w, s->claimed))
        return NULL;
    for (int i = middle + 1; i < WINDOWS && !bears_out(w, s->claimed); i++) {
        w = visit(s, i);
        if (w->noise > size(w, s->claimed))
            break;
    }
    for (int i = middle - 1; i >= largest && !bears_out(w, s->claimed); i--)
        w = visit(s, i);
    return bears_out(w, s->claimed) ? w : NULL;
}

struct vrt_judgement vrt_derivative_judge(const struct vrt_line *line, double claimed)
{
    struct search s = {.line = line, .claimed = claimed};
    for (int i = 0; i < WINDOWS; i++)
        s.seen[i].spread = INFINITY;
    const struct window *w = look_around(&s);
    return w != NULL ? judgement(VRT_RIGHT, w, claimed) : decide(&s);
}
