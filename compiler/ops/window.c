/* Windows that slide over maps: what convolutions and pooling share. */
#include "config.h"

#include "compiler/ops/window.h"

#include "lang/base/diag.h"

bool window_make(struct builder *b, const struct spec_layer *l, struct tensor x, struct window *w,
                 int kernel, int stride, int padding)
{
    if (!layer_positive(b, l, "kernel", kernel) || !layer_positive(b, l, "stride", stride))
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
    *w = (struct window){
        .kernel = kernel,
        .stride = stride,
        .padding = padding,
        .height = x.h,
        .width = x.w,
        .out_height = (x.h + 2 * padding - kernel) / stride + 1,
        .out_width = (x.w + 2 * padding - kernel) / stride + 1,
    };
    return true;
}

struct tensor window_output(struct builder *b, struct node *n, const struct window *w, int64_t cols)
{
    struct value *v = node_output(b->g, n, (int64_t)w->out_height * w->out_width, cols, NULL);
    return (struct tensor){v, TENSOR_MAP, w->out_height, w->out_width};
}

void window_print(const struct window *w, FILE *out)
{
    fprintf(out, " kernel=%d stride=%d padding=%d in=%dx%d out=%dx%d", w->kernel, w->stride,
            w->padding, w->height, w->width, w->out_height, w->out_width);
}

const char *window_wrong(const struct window *w, const struct value *from, const struct value *to)
{
    if (from->rows != (int64_t)w->height * w->width)
        return "the input is not the window's map";
    if (to->rows != (int64_t)w->out_height * w->out_width)
        return "the output is not the window's map";
    if (w->out_height != (w->height + 2 * w->padding - w->kernel) / w->stride + 1 ||
        w->out_width != (w->width + 2 * w->padding - w->kernel) / w->stride + 1)
        return "the windows do not make this map";
    return NULL;
}
