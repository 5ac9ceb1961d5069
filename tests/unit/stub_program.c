/* A program table written by hand, so that every command of the runtime can be tested without the
 * compiler: pictures of 28 x 28 gray pixels, one hidden layer with ReLU and dropout, ten classes.
 *
 * It uses all that generated code may use: packed weights, threads, random numbers by (seed, step,
 * place in the batch), the counts of experts (two "experts": is the first hidden unit on or off?),
 * and a loss beside the cross-entropy. */
#include <math.h>
#include <string.h>

#include "runtime/base/thread.h"
#include "runtime/vrt.h"

enum { PIXELS = 28 * 28, HIDDEN = 32, CLASSES = 10, MICRO = 64, GROUP = 8, EXPERTS = 2 };
enum {
    W1 = 0,
    B1 = W1 + HIDDEN * PIXELS,
    W2 = B1 + HIDDEN,
    B2 = W2 + CLASSES * HIDDEN,
    TOTAL = B2 + 16
};
enum {
    A_HIDDEN = 0,
    A_KEEP = A_HIDDEN + MICRO * HIDDEN,
    A_DLOGITS = A_KEEP + MICRO * HIDDEN,
    A_DHIDDEN = A_DLOGITS + MICRO * CLASSES,
    A_LOSS = A_DHIDDEN + MICRO * HIDDEN,
    A_TOTAL = A_LOSS + MICRO
};

static const double penalty = 0.01; /* of the loss of our own: mean square of the hidden units */

static float *floats(const struct vrt_ctx *c, enum vrt_region region)
{
    return c->region[region];
}

/* A task as vrt_parallel wants it: a data pointer. */
static void run_tasks(struct vrt_ctx *c, void (*run)(void *, int64_t, void *), int64_t count)
{
    void *task;
    memcpy(&task, &run, sizeof task);
    vrt_parallel(c, task, count);
}

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* Does unit j of the i-th picture of this call stay? The same answer for any cutting of the batch
 * into calls. */
static float keep(const struct vrt_ctx *c, int64_t i, int64_t j)
{
    uint64_t where =
        ((c->step * 1000003u + (uint64_t)(c->first_image + i)) * HIDDEN + (uint64_t)j) * 2 + 1;
    double u = (double)(mix(mix(where) ^ c->seed) >> 11) * 0x1p-53;
    return u < c->drop_path ? 0.0f : (float)(1.0 / (1.0 - c->drop_path));
}

static void forward_image(const struct vrt_ctx *c, int64_t i, int training)
{
    const float *w = floats(c, VRT_PACKED), *x = floats(c, VRT_INPUT) + i * PIXELS;
    float *arena = floats(c, VRT_ARENA), *h = arena + A_HIDDEN + i * HIDDEN,
          *kept = arena + A_KEEP + i * HIDDEN;
    float *out = floats(c, VRT_OUTPUT) + i * CLASSES;
    for (int j = 0; j < HIDDEN; j++) {
        float sum = w[B1 + j];
        for (int p = 0; p < PIXELS; p++)
            sum += w[W1 + j * PIXELS + p] * x[p];
        kept[j] = training ? keep(c, i, j) : 1.0f;
        h[j] = sum > 0.0f ? sum * kept[j] : 0.0f;
    }
    for (int k = 0; k < CLASSES; k++) {
        out[k] = w[B2 + k];
        for (int j = 0; j < HIDDEN; j++)
            out[k] += w[W2 + k * HIDDEN + j] * h[j];
    }
    memcpy(floats(c, VRT_FEATURES) + i * HIDDEN, h, HIDDEN * sizeof *h);
}

static void eval_task(void *ctx, int64_t i, void *scratch)
{
    (void)scratch;
    forward_image(ctx, i, 0);
}

/* Cross-entropy of image i and its gradient by the logits. */
static void loss_task(void *ctx, int64_t i, void *scratch)
{
    const struct vrt_ctx *c = ctx;
    float *arena = floats(c, VRT_ARENA), *d = arena + A_DLOGITS + i * CLASSES;
    const float *z = floats(c, VRT_OUTPUT) + i * CLASSES,
                *target = floats(c, VRT_TARGET) + i * CLASSES;
    double top = -INFINITY, sum = 0.0, loss = 0.0;
    (void)scratch;
    forward_image(c, i, 1);
    for (int k = 0; k < CLASSES; k++)
        top = fmax(top, (double)z[k]);
    for (int k = 0; k < CLASSES; k++)
        sum += exp((double)z[k] - top);
    for (int k = 0; k < CLASSES; k++) {
        loss += (double)target[k] * (top + log(sum) - (double)z[k]);
        d[k] = (float)((exp((double)z[k] - top) / sum - (double)target[k]) * c->loss_scale);
    }
    arena[A_LOSS + i] = (float)loss;
}

/* The router is as sure as can be: its entropy is 0. */
static void count_experts(struct vrt_ctx *c, int training)
{
    int32_t *balance = c->region[VRT_BALANCE];
    float *choices = floats(c, VRT_CHOICES);
    const float *h = floats(c, VRT_ARENA) + A_HIDDEN;
    for (int64_t i = 0; i < c->images; i++) {
        int chosen = h[i * HIDDEN] > 0.0f;
        balance[chosen]++;
        for (int e = 0; e < EXPERTS && !training; e++)
            choices[i * EXPERTS + e] = e == chosen;
    }
    balance[2 * EXPERTS] += (int32_t)c->images;
}

static void train_forward(struct vrt_ctx *c)
{
    const float *arena = floats(c, VRT_ARENA);
    run_tasks(c, loss_task, c->images);
    c->loss = c->balance_loss = 0.0;
    for (int64_t i = 0; i < c->images; i++) {
        double square = 0.0;
        for (int j = 0; j < HIDDEN; j++)
            square +=
                (double)arena[A_HIDDEN + i * HIDDEN + j] * (double)arena[A_HIDDEN + i * HIDDEN + j];
        c->loss += (double)arena[A_LOSS + i];
        c->balance_loss += penalty * square / GROUP;
    }
    count_experts(c, 1);
}

static void hidden_task(void *ctx, int64_t i, void *scratch)
{
    const struct vrt_ctx *c = ctx;
    float *arena = floats(c, VRT_ARENA), *d = arena + A_DHIDDEN + i * HIDDEN;
    const float *w = floats(c, VRT_PACKED), *h = arena + A_HIDDEN + i * HIDDEN,
                *kept = arena + A_KEEP + i * HIDDEN;
    (void)scratch;
    for (int j = 0; j < HIDDEN; j++) {
        double sum = 2.0 * penalty / GROUP * c->balance_scale * (double)h[j];
        for (int k = 0; k < CLASSES; k++)
            sum += (double)(arena[A_DLOGITS + i * CLASSES + k] * w[W2 + k * HIDDEN + j]);
        d[j] = h[j] > 0.0f ? (float)sum * kept[j] : 0.0f;
    }
}

/* Gradients of hidden unit j's row; pictures in order, so the bits do not depend on the threads. */
static void weights_task(void *ctx, int64_t j, void *scratch)
{
    const struct vrt_ctx *c = ctx;
    const float *arena = floats(c, VRT_ARENA), *input = floats(c, VRT_INPUT);
    float *g = floats(c, VRT_GRADS);
    (void)scratch;
    for (int64_t i = 0; i < c->images; i++) {
        float d = arena[A_DHIDDEN + i * HIDDEN + j];
        for (int p = 0; p < PIXELS; p++)
            g[W1 + j * PIXELS + p] += d * input[i * PIXELS + p];
        g[B1 + j] += d;
        for (int k = 0; k < CLASSES; k++)
            g[W2 + k * HIDDEN + j] +=
                arena[A_DLOGITS + i * CLASSES + k] * arena[A_HIDDEN + i * HIDDEN + j];
    }
}

static void train(struct vrt_ctx *c)
{
    const float *d = floats(c, VRT_ARENA) + A_DLOGITS;
    float *g = floats(c, VRT_GRADS);
    train_forward(c);
    run_tasks(c, hidden_task, c->images);
    run_tasks(c, weights_task, HIDDEN);
    for (int64_t i = 0; i < c->images; i++)
        for (int k = 0; k < CLASSES; k++)
            g[B2 + k] += d[i * CLASSES + k];
}

static void eval(struct vrt_ctx *c)
{
    run_tasks(c, eval_task, c->images);
    count_experts(c, 0);
}

static void pack(struct vrt_ctx *c)
{
    memcpy(c->region[VRT_PACKED], c->region[VRT_PARAMS], TOTAL * sizeof(float));
}

static void norm(struct vrt_ctx *c)
{
    const float *g = floats(c, VRT_GRADS);
    c->grad_norm2 = 0.0;
    for (int i = 0; i < TOTAL; i++)
        c->grad_norm2 += (double)g[i] * (double)g[i];
}

static const struct vrt_param params[] = {
    {"fc1.weight",
     2,
     VRT_INIT_TRUNC_NORMAL,
     {HIDDEN, PIXELS, 0, 0},
     W1 * 4,
     HIDDEN *PIXELS,
     0.02,
     NAN,
     1.0,
     0},
    {"fc1.bias", 1, VRT_INIT_ZERO, {HIDDEN, 0, 0, 0}, B1 * 4, HIDDEN, 0, 0, 1.0, 0},
    {"fc2.weight",
     2,
     VRT_INIT_UNIFORM,
     {CLASSES, HIDDEN, 0, 0},
     W2 * 4,
     CLASSES *HIDDEN,
     0.1,
     NAN,
     1.0,
     0},
    {"fc2.bias", 1, VRT_INIT_ZERO, {CLASSES, 0, 0, 0}, B2 * 4, CLASSES, 0, 0, 1.0, 0},
};
enum { NPARAMS = sizeof params / sizeof *params };

static void update(struct vrt_ctx *c)
{
    float *w = floats(c, VRT_PARAMS), *g = floats(c, VRT_GRADS), *m = floats(c, VRT_MOMENT1),
          *v = floats(c, VRT_MOMENT2);
    float *ema = floats(c, VRT_EMA);
    for (int t = 0; t < NPARAMS; t++) {
        double decay = isnan(params[t].weight_decay) ? c->weight_decay : params[t].weight_decay;
        for (int64_t i = params[t].offset / 4; i < params[t].offset / 4 + params[t].count; i++) {
            double d = (double)g[i] * c->grad_scale;
            m[i] = (float)(c->beta1 * (double)m[i] + (1.0 - c->beta1) * d);
            v[i] = (float)(c->beta2 * (double)v[i] + (1.0 - c->beta2) * d * d);
            w[i] -= (float)(c->lr *
                            ((double)m[i] / c->bias1 / (sqrt((double)v[i] / c->bias2) + c->eps) +
                             decay * (double)w[i]));
            if (ema != NULL)
                ema[i] =
                    (float)(c->ema_decay * (double)ema[i] + (1.0 - c->ema_decay) * (double)w[i]);
            g[i] = 0.0f;
        }
    }
}

static const struct vrt_moe moes[] = {
    {.name = "hidden", .prefix = "hidden", .experts = EXPERTS, .top_k = 1}};

#define NUMBER(path, flag, help, type, unit, runtime, value) \
    {path, flag, help, type, unit, runtime, 0, value, NULL, 0, 1e6}
#define WORDS(path, flag, help, text) \
    {path, flag, help, VRT_KEY_TEXT, VRT_UNIT_NONE, 1, 0, 0, text, 0, 0}
static const struct vrt_key keys[] = {
    WORDS("data.root", "data", "where the pictures lie", ""),
    WORDS("data.train", NULL, "split to train on", "train"),
    WORDS("data.val", NULL, "split to evaluate on", "val"),
    NUMBER("data.limit", "limit", "use the first pictures only", VRT_KEY_INT, VRT_UNIT_IMAGES, 1,
           0),
    NUMBER("augment.padded_crop", NULL, "padding of the random crop", VRT_KEY_INT, VRT_UNIT_PX, 1,
           2),
    NUMBER("augment.flip", NULL, "share of flipped pictures", VRT_KEY_FLOAT, VRT_UNIT_NONE, 1, 0.5),
    NUMBER("train.epochs", "epochs", "length of the training", VRT_KEY_INT, VRT_UNIT_EPOCHS, 1, 2),
    NUMBER("train.batch", "batch", "pictures of one step", VRT_KEY_INT, VRT_UNIT_IMAGES, 1, 128),
    NUMBER("train.micro", NULL, "pictures of one call", VRT_KEY_INT, VRT_UNIT_IMAGES, 0, MICRO),
    NUMBER("train.seed", "seed", "of all random numbers", VRT_KEY_INT, VRT_UNIT_NONE, 1, 0),
    NUMBER("train.optim.lr", "lr", "learning rate", VRT_KEY_FLOAT, VRT_UNIT_NONE, 1, 2e-3),
    NUMBER("train.optim.weight_decay", NULL, "AdamW's", VRT_KEY_FLOAT, VRT_UNIT_NONE, 1, 0.05),
    WORDS("train.schedule.kind", NULL, "cosine or constant", "cosine"),
    NUMBER("train.schedule.warmup", NULL, "linear warm-up", VRT_KEY_FLOAT, VRT_UNIT_STEPS, 1, 20),
    NUMBER("train.schedule.final", NULL, "last learning rate", VRT_KEY_FLOAT, VRT_UNIT_NONE, 1,
           1e-5),
    NUMBER("train.label_smoothing", NULL, "spread over all classes", VRT_KEY_FLOAT, VRT_UNIT_NONE,
           1, 0.1),
    NUMBER("train.drop_path", "drop-path", "drop rate", VRT_KEY_FLOAT, VRT_UNIT_NONE, 1, 0.1),
    NUMBER("train.clip", NULL, "largest norm of the gradients", VRT_KEY_FLOAT, VRT_UNIT_NONE, 1, 1),
    NUMBER("train.ema", "ema", "decay of the average", VRT_KEY_FLOAT, VRT_UNIT_NONE, 1, 0.99),
};

#define INFO_JSON                                                                              \
    "{\"model\":\"stub\",\"spec_hash\":\"00112233445566778899aabbccddeeff\",\"params_total\":" \
    "25450,"                                                                                   \
    "\"params_active\":25450,\"macs\":25408}"

const struct vrt_program vrt_program_table = {
    .abi_version = VRT_ABI_VERSION,
    .name = "stub",
    .compiler = "by hand",
    .spec_file = "stub.vmoe",
    .spec_hash = "00112233445566778899aabbccddeeff",
    .spec_text = "vmoe 1\n",
    .info_text = "stub: 25450 parameters",
    .info_json = INFO_JSON,
    .channels = 1,
    .height = 28,
    .width = 28,
    .classes = CLASSES,
    .features = HIDDEN,
    .mean = {0.286, 0.286, 0.286},
    .std = {0.353, 0.353, 0.353},
    .crop_pct = 1.0,
    .resample = 1,
    .micro = MICRO,
    .group = GROUP,
    .params = params,
    .nparams = NPARAMS,
    .moes = moes,
    .nmoes = 1,
    .keys = keys,
    .nkeys = sizeof keys / sizeof *keys,
    .params_bytes = TOTAL * 4,
    .packed_eval_bytes = TOTAL * 4,
    .packed_train_bytes = TOTAL * 4,
    .balance_bytes = (3 * EXPERTS + 2) * 4,
    .choices = EXPERTS,
    .arena_eval_bytes = A_TOTAL * 4,
    .arena_train_bytes = A_TOTAL * 4,
    .scratch_bytes = 64,
    .moments = 2,
    .pack_eval = pack,
    .pack_train = pack,
    .eval = eval,
    .train = train,
    .train_forward = train_forward,
    .norm = norm,
    .update = update,
};
