/* Layers that compute nothing: other views of the same matrix. */
#include "config.h"

#include "compiler/ops/op.h"

#include <math.h>

#include "compiler/graph/build.h"
#include "lang/base/diag.h"

static bool build_identity(struct builder *b, const struct spec_layer *l, struct tensor x,
                           struct tensor *y)
{
    (void)b;
    (void)l;
    *y = x;
    return true;
}

static bool build_tokens(struct builder *b, const struct spec_layer *l, struct tensor x,
                         struct tensor *y)
{
    if (!need_kind(b, l, x, TENSOR_MAP))
        return false;
    *y = (struct tensor){x.v, TENSOR_TOKENS, x.h, x.w};
    return true;
}

static bool build_grid(struct builder *b, const struct spec_layer *l, struct tensor x,
                       struct tensor *y)
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

const struct layer layer_identity = {
    .name = "identity",
    .signature = "",
    .doc = "y = x",
    .mixes = MIXES_NOTHING,
    .build = build_identity,
};

const struct layer layer_tokens = {
    .name = "tokens",
    .signature = "",
    .doc = "map (H,W,C) to tokens (H*W,C)",
    .mixes = MIXES_TOKENS,
    .build = build_tokens,
};

const struct layer layer_grid = {
    .name = "grid",
    .signature = "height: int?, width: int?",
    .doc = "tokens to a map; square unless sizes are given",
    .mixes = MIXES_TOKENS,
    .build = build_grid,
};
