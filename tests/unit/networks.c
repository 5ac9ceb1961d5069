/* Small networks that together hold each node of the graph, resolved layers written by hand. */
#include "config.h"

#include "tests/unit/networks.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/graph/graph.h"
#include "compiler/ops/op.h"
#include "lang/base/arena.h"
#include "lang/base/diag.h"
#include "lang/spec.h"

enum {
    GROUP = NETWORK_GROUP,
    MICRO = NETWORK_MICRO,
    CHANNELS = NETWORK_CHANNELS,
    HEIGHT = NETWORK_HEIGHT,
    WIDTH = NETWORK_WIDTH,
    CLASSES = NETWORK_CLASSES,
    DIM = 8
};

static struct arena *arena;
static int labels; /* each layer gets a label of its own */

/* -- resolved layers, written by hand -- */

#define INTEGER(x) {.type = SPEC_INT, .i = (x), .f = (double)(x)}
#define FLOAT(x)   {.type = SPEC_FLOAT, .f = (x)}
#define BOOL(x)    {.type = SPEC_BOOL, .i = (x)}
#define PX(x)      {.type = SPEC_INT, .unit = UNIT_PX, .i = (x), .f = (double)(x)}
#define ABSENT     {.type = SPEC_NONE}

static struct spec_layer *layer(enum spec_layer_kind kind)
{
    struct spec_layer *l = arena_alloc(arena, sizeof *l);
    l->kind = kind;
    l->label = kind == LAYER_OP ? arena_printf(arena, "l%d", labels++) : "";
    return l;
}

static struct spec_layer *op(enum layer_id what, size_t nargs, const struct spec_value *args)
{
    struct spec_layer *l = layer(LAYER_OP);
    struct spec_value *copy = arena_array(arena, nargs + 1, sizeof *copy);
    memcpy(copy, args, nargs * sizeof *copy);
    l->op = (int)what;
    l->args = copy;
    l->nargs = nargs;
    return l;
}

#define OP_ARGS(what, ...)                                                                 \
    op(LAYER_##what, sizeof(struct spec_value[]){__VA_ARGS__} / sizeof(struct spec_value), \
       (struct spec_value[]){__VA_ARGS__})
#define OP_PLAIN(what) op(LAYER_##what, 0, (struct spec_value[]){ABSENT})

static struct spec_layer *conv(int kernel, int stride, int padding, int groups, int out)
{
    return OP_ARGS(conv, PX(kernel), PX(stride), PX(padding), INTEGER(groups), INTEGER(out),
                   BOOL(1));
}

static struct spec_layer *linear(int out)
{
    return OP_ARGS(linear, INTEGER(out), BOOL(1));
}

static struct spec_layer *layernorm(void)
{
    return OP_ARGS(layernorm, FLOAT(1e-3));
}

static struct spec_layer *scale(void)
{
    return OP_ARGS(scale, FLOAT(1));
}

static struct spec_layer *slice(int from, int count)
{
    return OP_ARGS(slice, INTEGER(from), INTEGER(count));
}

/* The kids end with NULL. */
static struct spec_layer *list(enum spec_layer_kind kind, ...)
{
    struct spec_layer *l = layer(kind), *kid;
    va_list kids;
    size_t cap = 0;
    va_start(kids, kind);
    while ((kid = va_arg(kids, struct spec_layer *)))
        *ARENA_PUSH(arena, l->kids, l->nkids, cap) = kid;
    va_end(kids);
    return l;
}

#define NOTHING       list(LAYER_SEQ, (struct spec_layer *)NULL)
#define SEQ(...)      list(LAYER_SEQ, __VA_ARGS__, (struct spec_layer *)NULL)
#define RESIDUAL(...) list(LAYER_RESIDUAL, __VA_ARGS__, (struct spec_layer *)NULL)
#define SUM(...)      list(LAYER_SUM, __VA_ARGS__, (struct spec_layer *)NULL)
#define PRODUCT(...)  list(LAYER_PRODUCT, __VA_ARGS__, (struct spec_layer *)NULL)
#define CONCAT(...)   list(LAYER_CONCAT, __VA_ARGS__, (struct spec_layer *)NULL)

static struct spec_layer *mlp(int hidden)
{
    return SEQ(linear(hidden), OP_PLAIN(gelu), linear(DIM));
}

/* Experts of several kinds: `body` lists a router, a SEQ for each kind, and the shared one if there
 * is one. */
static struct spec_layer *moe_of(struct spec_moe settings, struct spec_layer *body)
{
    struct spec_layer *l = layer(LAYER_MOE);
    struct spec_moe *copy = arena_alloc(arena, sizeof *copy);
    *copy = settings;
    copy->rule = "";
    copy->experts = copy->experts ? copy->experts : 4;
    copy->group = copy->group ? copy->group : GROUP;
    if (!copy->nkinds) {
        struct spec_experts *one = arena_alloc(arena, sizeof *one);
        *one = (struct spec_experts){"", copy->experts};
        copy->kinds = one;
        copy->nkinds = 1;
    }
    for (size_t i = 0; i < copy->nkinds; i++)
        body->kids[1 + i]->label = arena_printf(arena, "experts%zu", i);
    l->label = arena_printf(arena, "m%d", labels++);
    l->moe = copy;
    l->kids = body->kids;
    l->nkids = body->nkids;
    return l;
}

static struct spec_layer *moe(struct spec_moe settings, struct spec_layer *router,
                              struct spec_layer *expert)
{
    return moe_of(settings, SEQ(router, expert));
}

/* The network of a case with plain experts, behind a skip. */
#define MOE(...) \
    RESIDUAL(moe((struct spec_moe){__VA_ARGS__}, OP_ARGS(linear, INTEGER(4), BOOL(0)), mlp(5)))

/* -- the networks: what stands between a first convolution, DIM wide, and the head -- */

static struct spec_layer *net_conv_dense(void)
{
    return conv(3, 1, 1, 1, 5);
}
static struct spec_layer *net_conv_depthwise(void)
{
    return conv(3, 1, 1, DIM, DIM);
}
static struct spec_layer *net_conv_grouped(void)
{
    return conv(3, 2, 1, 2, 6);
}
static struct spec_layer *net_conv_patch(void)
{
    return OP_ARGS(conv, PX(2), PX(2), PX(0), INTEGER(1), INTEGER(7), BOOL(0));
}
static struct spec_layer *net_conv_wide(void)
{
    return conv(5, 3, 2, 4, DIM);
}

/* Paddings make the map large enough for inner blocks, bands of lines and a last, shorter block; 20
 * channels are no whole vectors. */
static struct spec_layer *net_depthwise_large(void)
{
    return SEQ(conv(9, 1, 8, DIM, DIM), conv(9, 1, 8, DIM, DIM), linear(20), conv(7, 1, 3, 20, 20),
               linear(DIM));
}

static struct spec_layer *net_depthwise_strides(void)
{
    return SEQ(conv(9, 1, 8, DIM, DIM), linear(20), conv(5, 2, 3, 20, 20), conv(2, 3, 1, 20, 20),
               linear(DIM), conv(3, 2, 2, DIM, DIM));
}

static struct spec_layer *net_depthwise_parts(void)
{
    return SEQ(conv(9, 1, 8, DIM, DIM), conv(9, 1, 8, DIM, DIM), linear(140),
               conv(7, 1, 3, 140, 140), linear(DIM));
}

static struct spec_layer *net_depthwise_small(void)
{
    return SEQ(conv(3, 3, 1, 1, DIM), conv(7, 1, 3, DIM, DIM), conv(9, 1, 4, DIM, DIM));
}

static struct spec_layer *net_mlp(void)
{
    return RESIDUAL(layernorm(), linear(12), OP_PLAIN(gelu), OP_ARGS(linear, INTEGER(DIM), BOOL(0)),
                    scale());
}

static struct spec_layer *net_relu(void)
{
    return SEQ(OP_PLAIN(relu), linear(DIM));
}
static struct spec_layer *net_gelu(void)
{
    return SEQ(OP_PLAIN(gelu), OP_PLAIN(mean_pool));
}
static struct spec_layer *net_softmax(void)
{
    return SEQ(OP_PLAIN(softmax), OP_PLAIN(mean_pool));
}
static struct spec_layer *net_silu(void)
{
    return SEQ(OP_PLAIN(silu), linear(DIM));
}
static struct spec_layer *net_scale(void)
{
    return SEQ(scale(), OP_PLAIN(silu), scale());
}

static struct spec_layer *net_drop_path(void)
{
    return SEQ(RESIDUAL(linear(DIM), OP_ARGS(drop_path, FLOAT(1.0))),
               RESIDUAL(scale(), OP_ARGS(drop_path, FLOAT(0.5))));
}

static struct spec_layer *net_dropout(void)
{
    return SEQ(linear(7), OP_ARGS(dropout, FLOAT(0.4)), OP_PLAIN(gelu));
}

static struct spec_layer *net_attention(void)
{
    return SEQ(OP_PLAIN(tokens),
               RESIDUAL(layernorm(), linear(3 * DIM), OP_ARGS(attention, INTEGER(2)), linear(DIM)));
}

static struct spec_layer *net_max_pool(void)
{
    return SEQ(OP_ARGS(max_pool, PX(3), PX(2), PX(1)), OP_ARGS(max_pool, PX(2), ABSENT, PX(0)));
}

static struct spec_layer *net_avg_pool(void)
{
    return SEQ(OP_ARGS(avg_pool, PX(3), PX(1), PX(1)), OP_ARGS(avg_pool, PX(2), ABSENT, PX(0)));
}

static struct spec_layer *net_mean_pool(void)
{
    return SEQ(OP_PLAIN(silu), OP_PLAIN(mean_pool));
}

static struct spec_layer *net_transpose(void)
{
    return SEQ(OP_PLAIN(tokens), OP_PLAIN(transpose), linear(10), OP_PLAIN(gelu),
               OP_PLAIN(transpose));
}

static struct spec_layer *net_branches(void)
{
    struct spec_layer *gate = PRODUCT(SEQ(slice(0, 5), OP_PLAIN(silu)), SEQ(slice(3, 5)));
    struct spec_layer *wide = CONCAT(SEQ(linear(3)), SEQ(gate), SEQ(slice(1, 2)));
    return SUM(SEQ(wide, linear(DIM)), SEQ(OP_PLAIN(gelu)), SEQ(conv(1, 1, 0, 1, DIM)));
}

static struct spec_layer *net_tokens(void)
{
    return SEQ(OP_PLAIN(tokens), OP_PLAIN(class_token), OP_ARGS(positions, FLOAT(0.02)),
               RESIDUAL(layernorm(), linear(3 * DIM), OP_ARGS(attention, INTEGER(4)), linear(DIM)),
               OP_ARGS(take_token, INTEGER(0)));
}

static struct spec_layer *net_drop_tokens(void)
{
    return SEQ(OP_PLAIN(tokens), OP_PLAIN(class_token), linear(DIM),
               OP_ARGS(drop_tokens, INTEGER(3)), OP_PLAIN(silu), OP_PLAIN(mean_pool));
}

static struct spec_layer *net_sincos(void)
{
    return SEQ(OP_ARGS(positions_sincos, FLOAT(100)), OP_PLAIN(silu), OP_PLAIN(tokens),
               OP_ARGS(take_token, INTEGER(7)));
}

static struct spec_layer *net_grid(void)
{
    return SEQ(OP_PLAIN(tokens), linear(4), OP_ARGS(grid, INTEGER(6), ABSENT), conv(3, 1, 1, 1, 6));
}

/* Layers with weights that read the pictures themselves, which have no gradient. */
static struct spec_layer *net_first_layers(void)
{
    struct spec_layer *rows =
        SUM(SEQ(layernorm()), SEQ(scale()), SEQ(OP_ARGS(positions, FLOAT(0.02))));
    struct spec_layer *tokens = SEQ(rows, OP_PLAIN(tokens), OP_PLAIN(class_token));
    struct spec_layer *pictures = SEQ(OP_PLAIN(tokens), OP_PLAIN(class_token));
    return CONCAT(tokens, pictures);
}

static struct spec_layer *net_first_moe(void)
{
    struct spec_moe settings = {.top_k = 2, .importance = 0.2};
    return moe(settings, linear(4), SEQ(SUM(SEQ(layernorm()), SEQ(scale())), linear(CHANNELS)));
}

static struct spec_layer *net_plain_experts(void)
{
    return moe((struct spec_moe){.top_k = 2, .capacity = 1.0}, linear(4), SEQ(OP_PLAIN(gelu)));
}

static struct spec_layer *net_plain_router(void)
{
    return moe((struct spec_moe){.experts = DIM, .top_k = 1, .noise = 0.1}, OP_PLAIN(silu), mlp(3));
}

static struct spec_layer *net_top_1(void)
{
    return MOE(.top_k = 1);
}
static struct spec_layer *net_top_2(void)
{
    return MOE(.top_k = 2);
}
static struct spec_layer *net_all_experts(void)
{
    return MOE(.top_k = 4);
}
static struct spec_layer *net_renormalise(void)
{
    return MOE(.top_k = 2, .renormalise = true);
}
static struct spec_layer *net_importance(void)
{
    return MOE(.top_k = 1, .importance = 0.3);
}
static struct spec_layer *net_noise(void)
{
    return MOE(.top_k = 2, .noise = 0.25);
}
static struct spec_layer *net_load_1(void)
{
    return MOE(.top_k = 1, .noise = 0.5, .load = 0.3);
}
static struct spec_layer *net_load_2(void)
{
    return MOE(.top_k = 2, .noise = 0.5, .load = 0.3, .importance = 0.2);
}
static struct spec_layer *net_capacity_1(void)
{
    return MOE(.top_k = 1, .capacity = 0.9);
}
static struct spec_layer *net_capacity_2(void)
{
    return MOE(.top_k = 2, .capacity = 0.8, .renormalise = true);
}
static struct spec_layer *net_priority_1(void)
{
    return MOE(.top_k = 1, .capacity = 0.7, .batch_priority = true);
}
static struct spec_layer *net_priority_2(void)
{
    return MOE(.top_k = 2, .capacity = 0.6, .batch_priority = true, .noise = 0.25, .load = 0.1,
               .importance = 0.1);
}

static struct spec_layer *net_switch(void)
{
    return MOE(.top_k = 2, .switch_loss = 0.4);
}
static struct spec_layer *net_z(void)
{
    return MOE(.top_k = 1, .z_loss = 0.2);
}
static struct spec_layer *net_all_losses(void)
{
    return MOE(.top_k = 2, .noise = 0.5, .load = 0.3, .importance = 0.2, .switch_loss = 0.3,
               .z_loss = 0.1, .group = 1);
}
static struct spec_layer *net_bias(void)
{
    return MOE(.top_k = 2, .bias = 0.01, .importance = 0.2);
}
static struct spec_layer *net_bias_priority(void)
{
    return MOE(.top_k = 1, .bias = 0.01, .capacity = 0.8, .batch_priority = true, .noise = 0.2);
}

#define EXPERTS_CHOOSE .choice = CHOICE_EXPERT
static struct spec_layer *net_expert_choice(void)
{
    return MOE(EXPERTS_CHOOSE, .capacity = 1, .eval_capacity = 1, .group = 1);
}
static struct spec_layer *net_expert_choice_2(void)
{
    return MOE(EXPERTS_CHOOSE, .capacity = 1.7, .eval_capacity = 2.2, .noise = 0.3, .z_loss = 0.1);
}

static struct spec_layer *net_per_image(void)
{
    return MOE(.top_k = 2, .per_image = true, .importance = 0.2);
}
static struct spec_layer *net_per_image_capacity(void)
{
    return MOE(.top_k = 2, .per_image = true, .capacity = 0.6, .batch_priority = true, .noise = 0.4,
               .load = 0.2, .renormalise = true);
}

/* Soft: the router of its paper, codes for 4 x 3 slots. */
static struct spec_layer *net_soft(void)
{
    struct spec_layer *router =
        SEQ(OP_ARGS(cosine_codes, INTEGER(12), FLOAT(1)), OP_ARGS(gain, FLOAT(1)));
    return RESIDUAL(
        moe((struct spec_moe){.choice = CHOICE_SOFT, .slots = 3, .group = 1}, router, mlp(5)));
}

static struct spec_layer *net_cosine(void)
{
    struct spec_layer *router =
        SEQ(OP_ARGS(linear, INTEGER(6), BOOL(0)), OP_ARGS(cosine_codes, INTEGER(4), FLOAT(1)),
            OP_ARGS(temperature, FLOAT(0.5), FLOAT(4)));
    return RESIDUAL(moe((struct spec_moe){.top_k = 2}, router, mlp(5)));
}

static struct spec_layer *net_distance(void)
{
    struct spec_layer *router = SEQ(OP_ARGS(distance_codes, INTEGER(4), FLOAT(1)),
                                    OP_ARGS(temperature, FLOAT(0.5), ABSENT));
    return RESIDUAL(moe((struct spec_moe){.top_k = 1}, router, mlp(5)));
}

/* The weight lies above the largest exponent: no gradient. */
static struct spec_layer *net_cold(void)
{
    return SEQ(OP_ARGS(temperature, FLOAT(0), FLOAT(-1.5)), OP_PLAIN(identity), OP_PLAIN(silu),
               OP_PLAIN(softmax), linear(5));
}

/* Codes, gains and softmax inside experts. */
static struct spec_layer *net_coded_experts(void)
{
    struct spec_layer *expert = SEQ(
        OP_ARGS(cosine_codes, INTEGER(5), FLOAT(1)), OP_ARGS(gain, FLOAT(1)), OP_PLAIN(softmax),
        OP_ARGS(distance_codes, INTEGER(DIM), FLOAT(1)), OP_ARGS(temperature, FLOAT(0), ABSENT));
    return RESIDUAL(moe((struct spec_moe){.top_k = 2, .capacity = 1.0}, linear(4), expert));
}

static struct spec_layer *net_shared(void)
{
    return RESIDUAL(
        moe_of((struct spec_moe){.top_k = 1, .shared = true}, SEQ(linear(4), mlp(5), mlp(3))));
}

/* Two wide experts, one that keeps its tokens as they are, three narrow ones. */
static struct spec_layer *kinds(struct spec_moe settings, struct spec_layer *router)
{
    static const struct spec_experts three[] = {{"wide", 2}, {"skip", 1}, {"narrow", 3}};
    struct spec_layer *narrow =
        SEQ(layernorm(), linear(2), OP_ARGS(dropout, FLOAT(0.3)), linear(DIM), scale());
    settings.experts = 6;
    settings.kinds = three;
    settings.nkinds = 3;
    return RESIDUAL(moe_of(settings, SEQ(router, mlp(7), SEQ(OP_PLAIN(identity)), narrow)));
}

static struct spec_layer *net_kinds(void)
{
    return kinds((struct spec_moe){.top_k = 2, .capacity = 1.1}, linear(6));
}
static struct spec_layer *net_kinds_expert(void)
{
    return kinds(
        (struct spec_moe){EXPERTS_CHOOSE, .capacity = 1.2, .eval_capacity = 1.2, .group = 1},
        linear(6));
}
static struct spec_layer *net_kinds_soft(void)
{
    return kinds((struct spec_moe){.choice = CHOICE_SOFT, .slots = 2, .group = 1}, linear(12));
}
static struct spec_layer *net_kinds_image(void)
{
    return kinds((struct spec_moe){.top_k = 2, .per_image = true}, linear(6));
}

/* Each per-token layer with leading E, and branches inside an expert. */
static struct spec_layer *net_rich_experts(void)
{
    struct spec_layer *gated = PRODUCT(SEQ(slice(0, 3), OP_PLAIN(silu)), SEQ(slice(3, 3)));
    struct spec_layer *both = CONCAT(SEQ(gated), SEQ(linear(2), OP_PLAIN(relu)));
    struct spec_layer *expert =
        SEQ(layernorm(), linear(6), OP_ARGS(dropout, FLOAT(0.3)), both, OP_PLAIN(gelu), linear(DIM),
            RESIDUAL(scale(), OP_ARGS(drop_path, FLOAT(1.0))));
    return SEQ(OP_PLAIN(tokens),
               moe((struct spec_moe){.top_k = 2, .capacity = 1.0}, linear(4), expert));
}

static struct spec_layer *net_two_moes(void)
{
    struct spec_layer *router = SEQ(layernorm(), linear(5), OP_PLAIN(gelu), linear(3));
    struct spec_moe second = {
        .experts = 3, .top_k = 2, .renormalise = true, .noise = 0.3, .load = 0.2};
    return SEQ(MOE(.top_k = 1, .importance = 0.2),
               RESIDUAL(layernorm(), moe(second, router, mlp(4))));
}

/* Groups of one and of two pictures, and experts that choose from two with a capacity that rounds
 * differently. */
static struct spec_layer *net_groups(void)
{
    return SEQ(MOE(.top_k = 1, .importance = 0.3, .z_loss = 0.1, .group = 1),
               MOE(.top_k = 2, .switch_loss = 0.3, .capacity = 0.9),
               MOE(EXPERTS_CHOOSE, .capacity = 1.0000000001, .eval_capacity = 0.7));
}

static struct spec_layer *net_binary(void)
{
    return mlp(5);
}

#define CASE(name)   {#name, net_##name, false, false, false}
#define BARE(name)   {#name, net_##name, true, false, false}
#define LARGE(name)  {#name, net_##name, false, false, true}
#define BINARY(name) {#name, net_##name, false, true, false}
const struct network networks[] = {
    CASE(conv_dense),
    CASE(conv_depthwise),
    CASE(conv_grouped),
    CASE(conv_patch),
    CASE(conv_wide),
    LARGE(depthwise_large),
    LARGE(depthwise_strides),
    LARGE(depthwise_parts),
    CASE(depthwise_small),
    CASE(mlp),
    CASE(relu),
    BARE(gelu),
    BARE(softmax),
    CASE(silu),
    CASE(scale),
    CASE(drop_path),
    CASE(dropout),
    CASE(attention),
    CASE(max_pool),
    CASE(avg_pool),
    CASE(mean_pool),
    CASE(transpose),
    CASE(branches),
    CASE(tokens),
    CASE(drop_tokens),
    CASE(sincos),
    CASE(grid),
    CASE(top_1),
    CASE(top_2),
    CASE(all_experts),
    CASE(renormalise),
    CASE(importance),
    CASE(noise),
    CASE(load_1),
    CASE(load_2),
    CASE(capacity_1),
    CASE(capacity_2),
    CASE(priority_1),
    CASE(priority_2),
    CASE(rich_experts),
    CASE(two_moes),
    BARE(first_layers),
    BARE(first_moe),
    CASE(plain_experts),
    CASE(plain_router),
    CASE(switch),
    CASE(z),
    CASE(all_losses),
    CASE(bias),
    CASE(bias_priority),
    CASE(expert_choice),
    CASE(expert_choice_2),
    CASE(per_image),
    CASE(per_image_capacity),
    CASE(soft),
    CASE(cosine),
    CASE(distance),
    CASE(cold),
    CASE(coded_experts),
    CASE(shared),
    CASE(kinds),
    CASE(kinds_expert),
    CASE(kinds_soft),
    CASE(kinds_image),
    CASE(groups),
    BINARY(binary),
};
const int network_count = sizeof networks / sizeof *networks;

const struct network *network_named(const char *name)
{
    for (int i = 0; i < network_count; i++)
        if (!strcmp(networks[i].name, name))
            return &networks[i];
    fprintf(stderr, "no network %s\n", name);
    exit(1);
}

static bool ends_in_vector(const struct spec_layer *l)
{
    while (l->nkids)
        l = l->kids[l->nkids - 1];
    return l->op == LAYER_mean_pool || l->op == LAYER_take_token;
}

static struct graph *build(struct arena *a, const struct network *c, bool training)
{
    arena = a;
    labels = 0;
    struct spec *spec = arena_alloc(arena, sizeof *spec);
    struct spec_part *part = arena_alloc(arena, sizeof *part);
    struct spec_key *keys = arena_array(arena, 4, sizeof *keys);
    struct diag *d = diag_new(arena, stderr, DIAG_TEXT, 10);
    struct spec_layer *body = c->net();
    struct spec_layer *pool = ends_in_vector(body)
                                  ? SEQ(OP_PLAIN(silu))
                                  : SEQ(linear(5), OP_PLAIN(silu), OP_PLAIN(mean_pool));
    struct spec_layer *first = c->bare ? NOTHING : SEQ(conv(1, 1, 0, 1, DIM));
    *part = (struct spec_part){
        .title = "net", .prefix = "", .body = SEQ(first, body, pool, linear(CLASSES))};
    keys[0] = (struct spec_key){.path = "train.micro", .value = INTEGER(MICRO)};
    keys[1] =
        (struct spec_key){.path = "train.loss",
                          .value = {.text = c->binary ? "binary_cross_entropy" : "cross_entropy"}};
    keys[2] = (struct spec_key){.path = "train.layer_decay", .value = {.f = 1}};
    keys[3] = (struct spec_key){.path = "train.optim.kind", .value = {.text = "adamw"}};
    spec->name = c->name;
    spec->keys = keys;
    spec->nkeys = 4;
    spec->model = (struct spec_model){.name = c->name,
                                      .channels = CHANNELS,
                                      .height = HEIGHT,
                                      .width = WIDTH,
                                      .classes = CLASSES,
                                      .parts = part,
                                      .nparts = 1};
    struct graph *g = graph_build(arena, spec, training, d);
    diag_flush(d);
    return g;
}

static struct graph *verified(struct graph *g)
{
    return g && graph_verify(g, stderr) ? g : NULL;
}

struct graph *network_eval(struct arena *a, const struct network *c)
{
    return verified(build(a, c, false));
}

struct graph *network_train(struct arena *a, const struct network *c, enum recompute level)
{
    struct graph *g = build(a, c, true);
    if (g)
        graph_differentiate(g, level);
    return verified(g);
}

static uint64_t random_state;

void network_seed(uint64_t seed)
{
    random_state = seed;
}

/* Uniform in (-1, 1): a linear congruential generator (Knuth's MMIX), its upper bits. */
double network_uniform(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (double)(random_state >> 11) * 0x1p-52 - 1;
}

void network_fill(double *v, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        v[i] = network_uniform();
}

void network_target(double *target, int images)
{
    for (int b = 0; b < images; b++)
        for (int c = 0; c < CLASSES; c++)
            target[b * CLASSES + c] = c == b % CLASSES ? 0.8 : 0.1;
}
