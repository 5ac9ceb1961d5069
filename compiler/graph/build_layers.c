/* The shape rules of the primitive layers: what each accepts, what it makes, which params it has
 * and how they start. Arguments are numbered as in the signatures of ops.def. Initial values follow
 * timm (trunc_normal 0.02, biases 0, norms 1 and 0). */
#include "config.h"

#include "compiler/graph/build.h"

#include <limits.h>
#include <math.h>

#include "lang/base/arena.h"
#include "lang/base/diag.h"

#define WEIGHT_STD 0.02

bool arg_given(const struct spec_layer *l, int i)
{
    return (size_t)i < l->nargs && l->args[i].type != SPEC_NONE;
}

int64_t arg_int(const struct spec_layer *l, int i)
{
    return l->args[i].i;
}

double arg_float(const struct spec_layer *l, int i)
{
    return l->args[i].type == SPEC_INT ? (double)l->args[i].i : l->args[i].f;
}

static double arg_or(const struct spec_layer *l, int i, double unset)
{
    return arg_given(l, i) ? arg_float(l, i) : unset;
}

int arg_size(const struct spec_layer *l, int i)
{
    int64_t v = arg_int(l, i);
    return v > INT_MAX / 4 ? INT_MAX / 4 : v < INT_MIN / 4 ? INT_MIN / 4 : (int)v;
}

struct tensor tensor_tokens(struct value *v)
{
    return (struct tensor){v, TENSOR_TOKENS, 0, 0};
}

struct tensor tensor_like(struct tensor x, struct value *v)
{
    x.v = v;
    return x;
}

const char *tensor_text(struct builder *b, struct tensor x)
{
    switch (x.kind) {
    case TENSOR_MAP:
        return arena_printf(b->g->arena, "a map of %d x %d x %lld", x.h, x.w, (long long)x.v->cols);
    case TENSOR_TOKENS:
        return arena_printf(b->g->arena, "%lld tokens of %lld", (long long)x.v->rows,
                            (long long)x.v->cols);
    default: return arena_printf(b->g->arena, "a vector of %lld", (long long)x.v->cols);
    }
}

bool need_kind(struct builder *b, const struct spec_layer *l, struct tensor x,
               enum tensor_kind kind)
{
    static const char *const wanted[] = {"a map", "tokens", "a vector"};
    if (x.kind == kind)
        return true;
    diag_report(b->diag, DIAG_SHAPE_KIND, l->loc, "this layer works on %s, here it meets %s",
                wanted[kind], tensor_text(b, x));
    if (kind == TENSOR_MAP && x.kind == TENSOR_TOKENS)
        diag_help(b->diag, "`grid` turns tokens into a map");
    if (kind == TENSOR_TOKENS && x.kind == TENSOR_MAP)
        diag_help(b->diag, "`tokens` turns a map into tokens");
    return false;
}

struct node *layer_node(struct builder *b, enum node_op op, const struct spec_layer *l,
                        struct tensor x)
{
    struct node *n = graph_node(b->g, op, b->title, l->loc);
    node_input(n, x.v);
    return n;
}

struct param *layer_param(struct builder *b, const struct spec_layer *l, const char *part, int rank,
                          const int64_t *shape, enum param_init init, double value)
{
    const char *name = join_names(b->g->arena, b->prefix, part);
    struct param *p = graph_param(b->g, name, b->experts ? b->experts->count : 0, rank, shape);
    p->init = init;
    p->init_value = value;
    p->drawn = b->experts && b->experts->moe->alike ? p->count / b->experts->count : 0;
    p->loc = l->loc;
    return p;
}

/* The deviation of the first weights, by one of the arguments `init` and `gain`, which stand side
 * by side. */
static bool weight_std(struct builder *b, const struct spec_layer *l, int init, int64_t inputs,
                       double *std)
{
    bool by_gain = arg_given(l, init + 1);
    *std = by_gain ? arg_float(l, init + 1) / sqrt((double)inputs) : arg_or(l, init, WEIGHT_STD);
    if (!by_gain || !arg_given(l, init))
        return true;
    diag_report(b->diag, DIAG_CHOICE_KEY, l->loc,
                "`init` and `gain` both say how wide the weights are: give one of them");
    return false;
}

static bool too_large(struct builder *b, const struct spec_layer *l, const char *what, double size)
{
    if (size >= 1 && size < 2147483648.0)
        return false;
    diag_report(b->diag, DIAG_SHAPE_TOO_LARGE, l->loc, "%s would be %.0f", what, size);
    return true;
}

static bool positive(struct builder *b, const struct spec_layer *l, const char *what, int64_t v)
{
    if (v > 0 && v <= 1 << 24)
        return true;
    diag_report(b->diag, DIAG_SHAPE_TOO_LARGE, l->loc, "%s = %lld must be from 1 to %d", what,
                (long long)v, 1 << 24);
    return false;
}

/* A layer that keeps the shape and has no params. */
static struct node *unary(struct builder *b, enum node_op op, const struct spec_layer *l,
                          struct tensor x, struct tensor *y)
{
    struct node *n = layer_node(b, op, l, x);
    n->experts = x.v->experts;
    *y = tensor_like(x, node_output(b->g, n, x.v->rows, x.v->cols, x.v->experts));
    return n;
}

/* -- row by row -- */

bool layer_linear(struct builder *b, const struct spec_layer *l, struct tensor x, struct tensor *y)
{
    int64_t in = x.v->cols, out = arg_given(l, 0) ? arg_int(l, 0) : in;
    if (!positive(b, l, "out", out) ||
        too_large(b, l, "the weight's number of elements",
                  (double)in * (double)out * (b->experts ? b->experts->count : 1)))
        return false;
    double std;
    if (!weight_std(b, l, 2, in, &std))
        return false;
    struct node *n = layer_node(b, NODE_linear, l, x);
    n->experts = x.v->experts;
    n->weight = layer_param(b, l, "weight", 2, (int64_t[]){out, in}, INIT_TRUNC_NORMAL, std);
    if (l->args[1].i)
        n->bias = layer_param(b, l, "bias", 1, &out, INIT_ZERO, 0);
    *y = tensor_like(x, node_output(b->g, n, x.v->rows, out, x.v->experts));
    return true;
}

bool layer_layernorm(struct builder *b, const struct spec_layer *l, struct tensor x,
                     struct tensor *y)
{
    struct node *n = unary(b, NODE_layernorm, l, x, y);
    n->eps = arg_float(l, 0);
    n->weight = layer_param(b, l, "weight", 1, &x.v->cols, INIT_ONE, 0);
    n->bias = layer_param(b, l, "bias", 1, &x.v->cols, INIT_ZERO, 0);
    node_output(b->g, n, x.v->rows, 2, x.v->experts);
    return true;
}

bool layer_identity(struct builder *b, const struct spec_layer *l, struct tensor x,
                    struct tensor *y)
{
    (void)b;
    (void)l;
    *y = x;
    return true;
}

/* Learned codes that each token is compared with. */
static bool codes(struct builder *b, enum node_op op, const struct spec_layer *l, struct tensor x,
                  struct tensor *y)
{
    int64_t in = x.v->cols, out = arg_int(l, 0);
    if (!positive(b, l, "out", out) ||
        too_large(b, l, "the codes' number of elements",
                  (double)in * (double)out * (b->experts ? b->experts->count : 1)))
        return false;
    struct node *n = layer_node(b, op, l, x);
    n->experts = x.v->experts;
    n->weight = layer_param(b, l, "", 2, (int64_t[]){out, in}, INIT_TRUNC_NORMAL, arg_float(l, 1));
    *y = tensor_like(x, node_output(b->g, n, x.v->rows, out, x.v->experts));
    return true;
}

bool layer_cosine_codes(struct builder *b, const struct spec_layer *l, struct tensor x,
                        struct tensor *y)
{
    return codes(b, NODE_cosine, l, x, y);
}

bool layer_distance_codes(struct builder *b, const struct spec_layer *l, struct tensor x,
                          struct tensor *y)
{
    return codes(b, NODE_distance, l, x, y);
}

bool layer_softmax(struct builder *b, const struct spec_layer *l, struct tensor x, struct tensor *y)
{
    return unary(b, NODE_softmax, l, x, y);
}

static struct node *gain(struct builder *b, const struct spec_layer *l, struct tensor x,
                         struct tensor *y)
{
    static const int64_t one = 1;
    struct node *n = unary(b, NODE_gain, l, x, y);
    n->weight = layer_param(b, l, "", 1, &one, INIT_CONST, arg_float(l, 0));
    return n;
}

bool layer_gain(struct builder *b, const struct spec_layer *l, struct tensor x, struct tensor *y)
{
    return gain(b, l, x, y);
}

bool layer_temperature(struct builder *b, const struct spec_layer *l, struct tensor x,
                       struct tensor *y)
{
    struct node *n = gain(b, l, x, y);
    n->index = 1;
    n->rate = arg_given(l, 1) ? arg_float(l, 1) : INFINITY;
    return true;
}

bool layer_gelu(struct builder *b, const struct spec_layer *l, struct tensor x, struct tensor *y)
{
    return unary(b, NODE_gelu, l, x, y);
}

bool layer_relu(struct builder *b, const struct spec_layer *l, struct tensor x, struct tensor *y)
{
    return unary(b, NODE_relu, l, x, y);
}

bool layer_silu(struct builder *b, const struct spec_layer *l, struct tensor x, struct tensor *y)
{
    return unary(b, NODE_silu, l, x, y);
}

bool layer_scale(struct builder *b, const struct spec_layer *l, struct tensor x, struct tensor *y)
{
    struct node *n = unary(b, NODE_scale, l, x, y);
    n->weight = layer_param(b, l, "", 1, &x.v->cols, INIT_CONST, arg_float(l, 0));
    return true;
}

static bool check_rate(struct builder *b, const struct spec_layer *l, double rate)
{
    if (rate >= 0 && rate < 1)
        return true;
    diag_report(b->diag, DIAG_OUT_OF_RANGE, l->loc,
                "a rate of %g drops everything; it must be at least 0 and below 1", rate);
    return false;
}

bool layer_drop_path(struct builder *b, const struct spec_layer *l, struct tensor x,
                     struct tensor *y)
{
    *y = x;
    double share = arg_float(l, 0);
    if (!(share >= 0 && share <= 1)) {
        diag_report(b->diag, DIAG_OUT_OF_RANGE, l->loc, "share = %g must be from 0 to 1", share);
        return false;
    }
    if (!b->g->training || share == 0)
        return true;
    struct node *n = unary(b, NODE_drop_path, l, x, y);
    n->rate = share;
    n->key = b->g->next_key++;
    return true;
}

bool layer_dropout(struct builder *b, const struct spec_layer *l, struct tensor x, struct tensor *y)
{
    *y = x;
    double rate = arg_float(l, 0);
    if (!check_rate(b, l, rate))
        return false;
    if (!b->g->training || rate == 0)
        return true;
    struct node *n = unary(b, NODE_dropout, l, x, y);
    n->rate = rate;
    n->key = b->g->next_key++;
    return true;
}

bool layer_slice(struct builder *b, const struct spec_layer *l, struct tensor x, struct tensor *y)
{
    int64_t from = arg_int(l, 0), count = arg_int(l, 1);
    if (from < 0 || count < 1 || from > x.v->cols || count > x.v->cols - from) {
        diag_report(b->diag, DIAG_SHAPE_MISMATCH, l->loc, "channels %lld .. %lld of %s",
                    (long long)from, (long long)from + count - 1, tensor_text(b, x));
        return false;
    }
    struct node *n = layer_node(b, NODE_slice, l, x);
    n->experts = x.v->experts;
    n->index = (int)from;
    *y = tensor_like(x, node_output(b->g, n, x.v->rows, count, x.v->experts));
    return true;
}

/* -- maps -- */

static int default_padding(int kernel, int stride)
{
    return stride < kernel ? (kernel - 1) / 2 : 0;
}

static bool window(struct builder *b, const struct spec_layer *l, struct tensor x, struct node *n,
                   int kernel, int stride, int padding)
{
    if (!positive(b, l, "kernel", kernel) || !positive(b, l, "stride", stride))
        return false;
    if (padding < 0 || padding >= kernel || kernel > x.h + 2 * padding ||
        kernel > x.w + 2 * padding || kernel > 64) {
        diag_report(b->diag, DIAG_SHAPE_WINDOW, l->loc,
                    "a window of %d px with a padding of %d px does not suit %s", kernel, padding,
                    tensor_text(b, x));
        diag_help(b->diag, "the padding must be below the kernel, the kernel at most 64 px and not "
                           "larger than the padded map");
        return false;
    }
    n->kernel = kernel;
    n->stride = stride;
    n->padding = padding;
    n->height = x.h;
    n->width = x.w;
    n->out_height = (x.h + 2 * padding - kernel) / stride + 1;
    n->out_width = (x.w + 2 * padding - kernel) / stride + 1;
    return true;
}

static struct tensor map_output(struct builder *b, struct node *n, int64_t cols)
{
    struct value *v = node_output(b->g, n, (int64_t)n->out_height * n->out_width, cols, NULL);
    return (struct tensor){v, TENSOR_MAP, n->out_height, n->out_width};
}

/* Patches that do not fill the map would leave pixels unseen; who wants that says so with a
 * padding. */
static bool whole_patches(struct builder *b, const struct spec_layer *l, struct tensor x,
                          int kernel, int stride)
{
    if (stride < kernel || stride < 2 || (x.h % stride == 0 && x.w % stride == 0))
        return true;
    diag_report(b->diag, DIAG_SHAPE_DIVIDE, l->loc, "patches of %d px do not divide %s", stride,
                tensor_text(b, x));
    diag_help(b->diag,
              "choose another size of the pictures, or write `padding: 0px` to leave the rest out");
    return false;
}

bool layer_conv(struct builder *b, const struct spec_layer *l, struct tensor x, struct tensor *y)
{
    if (!need_kind(b, l, x, TENSOR_MAP))
        return false;
    int64_t in = x.v->cols, groups = arg_int(l, 3), out = arg_given(l, 4) ? arg_int(l, 4) : in;
    int kernel = arg_size(l, 0), stride = arg_size(l, 1);
    int padding = arg_given(l, 2) ? arg_size(l, 2) : default_padding(kernel, stride);
    if (!positive(b, l, "out", out) || !positive(b, l, "groups", groups))
        return false;
    if (in % groups || out % groups) {
        diag_report(b->diag, DIAG_SHAPE_DIVIDE, l->loc,
                    "groups = %lld must divide the %lld channels in and the %lld out",
                    (long long)groups, (long long)in, (long long)out);
        return false;
    }
    struct node *n = layer_node(b, NODE_conv, l, x);
    if (!arg_given(l, 2) && !whole_patches(b, l, x, kernel, stride))
        return false;
    if (!window(b, l, x, n, kernel, stride, padding) ||
        too_large(b, l, "the weight's number of elements",
                  (double)in / (double)groups * (double)out * kernel * kernel))
        return false;
    double std;
    if (!weight_std(b, l, 6, kernel * kernel * (in / groups), &std))
        return false;
    n->groups = (int)groups;
    n->weight = layer_param(b, l, "weight", 4, (int64_t[]){out, in / groups, kernel, kernel},
                            INIT_TRUNC_NORMAL, std);
    if (l->args[5].i)
        n->bias = layer_param(b, l, "bias", 1, &out, INIT_ZERO, 0);
    *y = map_output(b, n, out);
    return true;
}

static bool pool(struct builder *b, enum node_op op, const struct spec_layer *l, struct tensor x,
                 struct tensor *y)
{
    if (!need_kind(b, l, x, TENSOR_MAP))
        return false;
    struct node *n = layer_node(b, op, l, x);
    int kernel = arg_size(l, 0);
    if (!window(b, l, x, n, kernel, arg_given(l, 1) ? arg_size(l, 1) : kernel, arg_size(l, 2)))
        return false;
    *y = map_output(b, n, x.v->cols);
    return true;
}

bool layer_max_pool(struct builder *b, const struct spec_layer *l, struct tensor x,
                    struct tensor *y)
{
    return pool(b, NODE_max_pool, l, x, y);
}

bool layer_avg_pool(struct builder *b, const struct spec_layer *l, struct tensor x,
                    struct tensor *y)
{
    return pool(b, NODE_avg_pool, l, x, y);
}

/* -- tokens -- */

bool layer_tokens(struct builder *b, const struct spec_layer *l, struct tensor x, struct tensor *y)
{
    if (!need_kind(b, l, x, TENSOR_MAP))
        return false;
    *y = (struct tensor){x.v, TENSOR_TOKENS, x.h, x.w};
    return true;
}

bool layer_grid(struct builder *b, const struct spec_layer *l, struct tensor x, struct tensor *y)
{
    if (!need_kind(b, l, x, TENSOR_TOKENS))
        return false;
    int64_t side = (int64_t)sqrt((double)x.v->rows), h = arg_given(l, 0) ? arg_int(l, 0) : 0;
    int64_t w = arg_given(l, 1) ? arg_int(l, 1) : 0;
    if (!h && !w)
        h = w = side;
    else if (!h || !w)
        *(h ? &w : &h) = x.v->rows / (h ? h : w);
    if (h < 1 || w < 1 || h > x.v->rows || h * w != x.v->rows) {
        diag_report(b->diag, DIAG_SHAPE_GRID, l->loc, "%s do not fill a map of %lld x %lld",
                    tensor_text(b, x), (long long)h, (long long)w);
        diag_help(b->diag,
                  "say grid(height: .., width: ..); a class token must be taken off first");
        return false;
    }
    *y = (struct tensor){x.v, TENSOR_MAP, (int)h, (int)w};
    return true;
}

bool layer_transpose(struct builder *b, const struct spec_layer *l, struct tensor x,
                     struct tensor *y)
{
    if (!need_kind(b, l, x, TENSOR_TOKENS))
        return false;
    struct node *n = layer_node(b, NODE_transpose, l, x);
    *y = tensor_tokens(node_output(b->g, n, x.v->cols, x.v->rows, NULL));
    return true;
}

bool layer_attention(struct builder *b, const struct spec_layer *l, struct tensor x,
                     struct tensor *y)
{
    int64_t heads = arg_int(l, 0), dim = x.v->cols / 3;
    if (!need_kind(b, l, x, TENSOR_TOKENS))
        return false;
    if (x.v->cols % 3 || heads < 1 || heads > dim || dim % heads) {
        diag_report(b->diag, DIAG_SHAPE_DIVIDE, l->loc,
                    "attention takes q, k and v of %lld heads side by side; %lld channels do "
                    "not divide so",
                    (long long)heads, (long long)x.v->cols);
        diag_help(b->diag, "put linear(out: 3 * dim) in front, with heads dividing dim");
        return false;
    }
    struct node *n = layer_node(b, NODE_attention, l, x);
    n->groups = (int)heads;
    *y = tensor_tokens(node_output(b->g, n, x.v->rows, dim, NULL));
    node_output(b->g, n, x.v->rows, heads, NULL);
    return true;
}

bool layer_mean_pool(struct builder *b, const struct spec_layer *l, struct tensor x,
                     struct tensor *y)
{
    if (x.kind == TENSOR_VECTOR && !need_kind(b, l, x, TENSOR_TOKENS))
        return false;
    struct node *n = layer_node(b, NODE_mean_pool, l, x);
    *y = (struct tensor){node_output(b->g, n, 1, x.v->cols, NULL), TENSOR_VECTOR, 0, 0};
    return true;
}

bool layer_class_token(struct builder *b, const struct spec_layer *l, struct tensor x,
                       struct tensor *y)
{
    if (!need_kind(b, l, x, TENSOR_TOKENS))
        return false;
    struct node *n = layer_node(b, NODE_class_token, l, x);
    n->weight = layer_param(b, l, "", 3, (int64_t[]){1, 1, x.v->cols}, INIT_TRUNC_NORMAL, 1e-6);
    n->weight->decays = false;
    *y = (struct tensor){node_output(b->g, n, x.v->rows + 1, x.v->cols, NULL), TENSOR_TOKENS, x.h,
                         x.w};
    return true;
}

bool layer_positions(struct builder *b, const struct spec_layer *l, struct tensor x,
                     struct tensor *y)
{
    if (x.kind == TENSOR_VECTOR && !need_kind(b, l, x, TENSOR_TOKENS))
        return false;
    struct node *n = unary(b, NODE_positions, l, x, y);
    n->weight = layer_param(b, l, "", 3, (int64_t[]){1, x.v->rows, x.v->cols}, INIT_TRUNC_NORMAL,
                            arg_float(l, 0));
    n->weight->decays = false;
    n->weight->role = PARAM_POSITIONS;
    n->weight->grid_height = x.h;
    n->weight->grid_width = x.w;
    return true;
}

bool layer_positions_sincos(struct builder *b, const struct spec_layer *l, struct tensor x,
                            struct tensor *y)
{
    int64_t t = x.v->rows, side = (int64_t)sqrt((double)t);
    int h = x.h, w = x.w;
    if (x.kind == TENSOR_VECTOR && !need_kind(b, l, x, TENSOR_TOKENS))
        return false;
    if (x.kind == TENSOR_TOKENS) {
        if (side * side > t)
            side--;
        h = w = (int)side;
        if (side * side != t && side * side + 1 != t) {
            diag_report(b->diag, DIAG_SHAPE_GRID, l->loc,
                        "%s are not a square, nor a class token and a square", tensor_text(b, x));
            diag_help(b->diag, "add the positions to the map, before `tokens`");
            return false;
        }
    }
    if (x.v->cols % 4) {
        diag_report(b->diag, DIAG_SHAPE_DIVIDE, l->loc,
                    "sine-cosine positions need a multiple of 4 channels, not %lld",
                    (long long)x.v->cols);
        return false;
    }
    struct node *n = unary(b, NODE_sincos, l, x, y);
    n->height = h;
    n->width = w;
    n->rate = arg_float(l, 0);
    return true;
}

bool layer_drop_tokens(struct builder *b, const struct spec_layer *l, struct tensor x,
                       struct tensor *y)
{
    int64_t count = arg_int(l, 0);
    if (!need_kind(b, l, x, TENSOR_TOKENS))
        return false;
    if (count < 1 || count >= x.v->rows) {
        diag_report(b->diag, DIAG_SHAPE_MISMATCH, l->loc, "%s without %lld of them",
                    tensor_text(b, x), (long long)count);
        return false;
    }
    struct node *n = layer_node(b, NODE_take_tokens, l, x);
    n->index = (int)count;
    *y = tensor_like(x, node_output(b->g, n, x.v->rows - count, x.v->cols, NULL));
    return true;
}

bool layer_take_token(struct builder *b, const struct spec_layer *l, struct tensor x,
                      struct tensor *y)
{
    int64_t index = arg_int(l, 0);
    if (!need_kind(b, l, x, TENSOR_TOKENS))
        return false;
    if (index < 0 || index >= x.v->rows) {
        diag_report(b->diag, DIAG_SHAPE_MISMATCH, l->loc, "token %lld of %s", (long long)index,
                    tensor_text(b, x));
        return false;
    }
    struct node *n = layer_node(b, NODE_take_tokens, l, x);
    n->index = (int)index;
    *y = (struct tensor){node_output(b->g, n, 1, x.v->cols, NULL), TENSOR_VECTOR, 0, 0};
    return true;
}
