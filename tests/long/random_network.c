/* A network at random: a stem, some layers, the layers of a theme, some more layers, a head. The
 * theme goes round with the number, so that few networks in a row hold every kind of layer; all
 * else is drawn. Whatever stands before a layer is known as a `struct form`, from which its
 * arguments are chosen: the language takes every network. */
#include "tests/long/random_network.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

enum { IMAGES = 4, THEMES = 18 }; /* IMAGES: of a call; routing groups divide them */

struct draw {
    uint64_t state;
    FILE *out;
    int indent, labels;
};

/* What a layer receives: a map of height x width positions, or so many tokens. */
struct form {
    bool map;
    int height, width, channels;
};

/* -- drawing and writing -- */

/* 0 .. n-1: splitmix64 (Steele and others 2014). */
static int below(struct draw *d, int n)
{
    uint64_t x = d->state += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return (int)((x ^ x >> 31) % (uint64_t)n);
}

static int between(struct draw *d, int low, int high)
{
    return low + below(d, high - low + 1);
}

static bool chance(struct draw *d, int percent)
{
    return below(d, 100) < percent;
}

#define PICK(d, list) (list)[below((d), (int)(sizeof(list) / sizeof *(list)))]

__attribute__((format(printf, 2, 3))) static void line(struct draw *d, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    fprintf(d->out, "%*s", 2 * d->indent, "");
    vfprintf(d->out, format, values);
    fputc('\n', d->out);
    va_end(values);
}

/* A line with a label of its own in front. */
#define LABELLED(d, format, ...) line((d), "l%d = " format, (d)->labels++, __VA_ARGS__)

static void open(struct draw *d, const char *what)
{
    line(d, "%s {", what);
    d->indent++;
}

static void shut(struct draw *d, int bodies)
{
    for (; bodies > 0; bodies--) {
        d->indent--;
        line(d, "}");
    }
}

/* -- layers that look at a row alone: they may stand in experts -- */

static void activation(struct draw *d)
{
    static const char *const names[] = {"gelu", "relu", "silu", "relu"};
    line(d, "%s", PICK(d, names));
}

static void linear(struct draw *d, int out)
{
    LABELLED(d, "linear(out: %d, bias: %s)", out, chance(d, 70) ? "true" : "false");
}

static void mlp(struct draw *d, int width)
{
    linear(d, between(d, 3, 2 * width));
    activation(d);
    linear(d, width);
}

static void norm(struct draw *d)
{
    LABELLED(d, "layernorm(eps: 1e-%d)", between(d, 3, 6));
}

/* Factors that are learned: for each channel, one, and one by its logarithm, which may end. */
static void factor(struct draw *d)
{
    switch (below(d, 4)) {
    case 0:  LABELLED(d, "scale(init: %s)", "0.5"); break;
    case 1:  LABELLED(d, "gain(init: %s)", "1.5"); break;
    case 2:  LABELLED(d, "temperature(init: %s)", "0.3"); break;
    default: LABELLED(d, "temperature(init: %s, max: 0.%d)", "0.3", between(d, 2, 8));
    }
}

static void codes(struct draw *d, int out)
{
    LABELLED(d, "%s(out: %d, init: 0.5)", chance(d, 60) ? "cosine_codes" : "distance_codes", out);
}

static void slice(struct draw *d, int channels, int count)
{
    line(d, "slice(from: %d, count: %d)", below(d, channels - count + 1), count);
}

static void drop(struct draw *d)
{
    bool elements = chance(d, 50);
    line(d, elements ? "dropout(rate: 0.%d)" : "drop_path(share: 0.%d)",
         elements ? between(d, 1, 4) : between(d, 2, 9));
}

static void gate(struct draw *d, int channels)
{
    open(d, "product");
    open(d, "branch");
    linear(d, channels);
    activation(d);
    shut(d, 1);
    open(d, "branch");
    slice(d, channels, channels);
    shut(d, 2);
}

static void join(struct draw *d, int channels)
{
    int part = between(d, 1, channels - 1);
    open(d, "concat");
    open(d, "branch");
    slice(d, channels, part);
    activation(d);
    shut(d, 1);
    open(d, "branch");
    linear(d, channels - part);
    shut(d, 2);
}

static void sum(struct draw *d, int channels)
{
    open(d, "sum");
    open(d, "branch");
    mlp(d, channels);
    shut(d, 1);
    open(d, "branch");
    if (chance(d, 50))
        norm(d);
    shut(d, 2);
}

static void skip(struct draw *d, int channels)
{
    open(d, "residual");
    norm(d);
    mlp(d, channels);
    if (chance(d, 40))
        factor(d);
    if (chance(d, 40))
        drop(d);
    shut(d, 1);
}

/* One layer or a few that keep the width. */
static void row_layer(struct draw *d, int channels)
{
    switch (below(d, 12)) {
    case 0:  norm(d); break;
    case 1:  linear(d, channels); break;
    case 2:  factor(d); break;
    case 3:  drop(d); break;
    case 4:  gate(d, channels); break;
    case 5:  join(d, channels); break;
    case 6:  sum(d, channels); break;
    case 7:  skip(d, channels); break;
    case 8:  codes(d, channels); break;
    case 9:  line(d, "softmax"); break;
    default: activation(d);
    }
}

/* -- layers that mix rows -- */

static void convolution(struct draw *d, struct form *f, bool depthwise)
{
    int kernel = between(d, 1, 4), padding = between(d, kernel / 2, kernel - 1), stride = 1;
    int groups = depthwise ? f->channels : f->channels % 2 == 0 && chance(d, 30) ? 2 : 1;
    int out = depthwise ? f->channels : groups * between(d, 2, 9);
    if (f->height > 3 && f->width > 3 && chance(d, 30))
        stride = 2;
    LABELLED(d, "conv(%dpx, stride: %dpx, padding: %dpx, groups: %d, out: %d, bias: %s)", kernel,
             stride, padding, groups, out, chance(d, 70) ? "true" : "false");
    f->height = (f->height + 2 * padding - kernel) / stride + 1;
    f->width = (f->width + 2 * padding - kernel) / stride + 1;
    f->channels = out;
}

static void pool(struct draw *d, struct form *f)
{
    int kernel = between(d, 2, 3), padding = below(d, 2), stride = between(d, 1, 2);
    line(d, "%s(%dpx, stride: %dpx, padding: %dpx)", chance(d, 60) ? "max_pool" : "avg_pool",
         kernel, stride, padding);
    f->height = (f->height + 2 * padding - kernel) / stride + 1;
    f->width = (f->width + 2 * padding - kernel) / stride + 1;
}

static bool poolable(const struct form *f)
{
    return f->map && f->height > 2 && f->width > 2;
}

static void to_tokens(struct draw *d, struct form *f)
{
    if (!f->map)
        return;
    line(d, "tokens");
    *f = (struct form){.height = f->height * f->width, .width = 1, .channels = f->channels};
}

static void attention(struct draw *d, struct form *f)
{
    int heads = between(d, 1, 3), width = heads * between(d, 2, 5);
    to_tokens(d, f);
    open(d, "residual");
    norm(d);
    linear(d, 3 * width);
    line(d, "attention(heads: %d)", heads);
    linear(d, f->channels);
    shut(d, 1);
}

static void mix_tokens(struct draw *d, struct form *f)
{
    to_tokens(d, f);
    open(d, "residual");
    line(d, "transpose");
    mlp(d, f->height);
    line(d, "transpose");
    shut(d, 1);
}

static void place(struct draw *d, struct form *f)
{
    if (f->map && f->channels % 4 == 0 && chance(d, 50)) {
        line(d, "positions_sincos(temperature: 100.0)");
        return;
    }
    to_tokens(d, f);
    if (chance(d, 60)) {
        line(d, "l%d = class_token", d->labels++);
        f->height++;
    }
    LABELLED(d, "positions(init: %s)", "0.2");
    if (f->height > 3 && chance(d, 30)) {
        line(d, "drop_tokens");
        f->height--;
    }
}

static void any_layer(struct draw *d, struct form *f)
{
    int what = below(d, 10);
    if (what == 0 && f->map)
        convolution(d, f, chance(d, 50));
    else if (what == 1 && poolable(f))
        pool(d, f);
    else if (what == 2)
        attention(d, f);
    else if (what == 3)
        place(d, f);
    else
        row_layer(d, f->channels);
}

/* -- experts -- */

/* `expert { }` or `shared { }` */
static void expert(struct draw *d, const char *what, int channels, bool rich)
{
    open(d, what);
    if (rich)
        row_layer(d, channels);
    mlp(d, channels);
    if (rich)
        row_layer(d, channels);
    shut(d, 1);
}

static void router(struct draw *d, int channels)
{
    switch (below(d, 5)) {
    case 0: line(d, "router = router.cosine(width: %d)", between(d, 2, channels)); break;
    case 1: line(d, "router = router.l2(width: %d)", between(d, 2, channels)); break;
    case 2:
        open(d, "router");
        norm(d);
        line(d, "l%d = linear(out: logits)", d->labels++);
        shut(d, 1);
        break;
    default: line(d, "router = linear(bias: %s)", chance(d, 50) ? "true" : "false");
    }
}

/* Several kinds of experts, or one. */
static void expert_kinds(struct draw *d, int experts, int channels, bool unlike, bool rich)
{
    if (!unlike) {
        line(d, "experts = %d", experts);
        expert(d, "expert", channels, rich);
        return;
    }
    open(d, "kind first");
    line(d, "count = %d", experts - 1);
    expert(d, "expert", channels, rich);
    shut(d, 1);
    line(d, "kind second { count = 1; expert { %s } }", chance(d, 40) ? "identity" : "fc = linear");
}

static void balance(struct draw *d)
{
    bool load = chance(d, 50), z = chance(d, 50), bias = !load && chance(d, 30);
    int importance = below(d, 4), first = below(d, 4);
    if (load || chance(d, 40))
        line(d, "noise = 0.%d", between(d, 2, 6));
    line(d, "balance { importance = 0.%d; load = 0.%d; switch = 0.%d; z = 0.%d; bias = 0.0%d }",
         importance, load ? 2 : 0, first, z, bias);
}

static void tokens_choose(struct draw *d, int experts, bool per_image)
{
    int top_k = between(d, 1, experts > 2 ? 2 : 1);
    line(d, "top_k = %d; group = %d images", top_k, IMAGES >> below(d, 3));
    if (per_image)
        line(d, "per = image");
    if (top_k > 1 && chance(d, 50))
        line(d, "renormalise = true");
    if (chance(d, 50)) {
        line(d, "capacity = %s", chance(d, 50) ? "0.8" : "1.25");
        line(d, "order = %s", chance(d, 50) ? "sequence" : "batch_priority");
    }
    balance(d);
}

enum who { TOKENS, PICTURES, EXPERTS, NOBODY }; /* chooses */

static void experts(struct draw *d, struct form *f, enum who who, bool unlike, bool rich)
{
    int count = between(d, 2, 5);
    open(d, "residual");
    if (chance(d, 60))
        norm(d);
    line(d, "moe l%d {", d->labels++);
    d->indent++;
    if (who == EXPERTS) {
        line(d, "choice = expert; capacity = 1.%d", 3 * between(d, 0, 2));
        line(d, "group = %d images", IMAGES >> below(d, 3));
    } else if (who == NOBODY) {
        line(d, "choice = soft; slots = %d", between(d, 1, 3));
    } else {
        tokens_choose(d, count, who == PICTURES);
    }
    router(d, f->channels);
    expert_kinds(d, count, f->channels, unlike, rich);
    if (chance(d, 30))
        expert(d, "shared", f->channels, false);
    shut(d, 2);
}

/* -- the network -- */

static void maps_theme(struct draw *d, struct form *f, int theme)
{
    for (int i = 0; i < 2; i++) {
        if (theme == 2 && poolable(f))
            pool(d, f);
        else
            convolution(d, f, theme == 1);
        if (chance(d, 60))
            row_layer(d, f->channels);
    }
}

static void theme_layers(struct draw *d, struct form *f, int theme)
{
    switch (theme) {
    case 0:
    case 1:
    case 2: maps_theme(d, f, theme); break;
    case 3: attention(d, f); break;
    case 4: skip(d, f->channels); break;
    case 5:
        sum(d, f->channels);
        join(d, f->channels);
        break;
    case 6:
        factor(d);
        gate(d, f->channels);
        factor(d);
        break;
    case 7: mix_tokens(d, f); break;
    case 8:
        place(d, f);
        attention(d, f);
        break;
    case 9:  experts(d, f, TOKENS, true, false); break;
    case 10: experts(d, f, TOKENS, false, true); break;
    case 11: experts(d, f, EXPERTS, false, false); break;
    case 12: experts(d, f, NOBODY, false, false); break;
    case 13: experts(d, f, PICTURES, false, false); break;
    case 14: experts(d, f, PICTURES, true, true); break;
    case 15: experts(d, f, TOKENS, false, false); break;
    case 16:
        experts(d, f, TOKENS, false, false);
        experts(d, f, EXPERTS, true, true);
        break;
    default: experts(d, f, NOBODY, true, true); attention(d, f);
    }
}

static void head(struct draw *d, struct form *f)
{
    open(d, "head");
    if (!f->map && chance(d, 40))
        line(d, "take_token(index: %d)", below(d, f->height));
    else
        line(d, "mean_pool");
    if (chance(d, 50))
        norm(d);
    line(d, "fc = linear(out: classes)");
    shut(d, 1);
}

static void model(struct draw *d, int theme)
{
    struct form f = {.map = true};
    f.height = between(d, 4, 7);
    f.width = between(d, 4, 8);
    f.channels = chance(d, 50) ? 1 : 3;
    open(d, "model random");
    line(d, "input = image(%dpx, %dpx, channels: %d, crop: 100%%)", f.height, f.width, f.channels);
    line(d, "classes = %d", between(d, 2, 6));
    open(d, "stem");
    convolution(d, &f, false);
    f.channels = between(d, 4, 20);
    linear(d, f.channels);
    shut(d, 1);
    open(d, "stage s");
    open(d, "block");
    for (int i = between(d, 1, 2); i > 0; i--)
        theme < 3 ? row_layer(d, f.channels) : any_layer(d, &f);
    shut(d, 1);
    open(d, "block");
    theme_layers(d, &f, theme);
    for (int i = between(d, 1, 3); i > 0; i--)
        any_layer(d, &f);
    shut(d, 2);
    head(d, &f);
    shut(d, 1);
}

static void experiment(struct draw *d)
{
    static const char *const again[] = {"none", "cheap", "block"};
    open(d, "experiment main");
    line(d, "model = random");
    line(d, "train { batch = %d images; micro = %d images }", IMAGES, IMAGES);
    line(d, "train.loss = %s", chance(d, 25) ? "binary_cross_entropy" : "cross_entropy");
    line(d, "train.drop_path = %d%%", 10 * below(d, 5));
    line(d, "memory { recompute = %s }", PICK(d, again));
    shut(d, 1);
}

char *random_network(uint64_t number)
{
    char *text = NULL;
    size_t size = 0;
    struct draw d = {.state = number * 1000003, .out = open_memstream(&text, &size)};
    if (!d.out)
        abort();
    line(&d, "vmoe 1\n\n# Random network %d.\nuse std.router\n", (int)number);
    model(&d, (int)((number + number / 12) % THEMES));
    experiment(&d);
    fclose(d.out);
    return text;
}
