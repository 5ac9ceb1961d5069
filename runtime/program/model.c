/* Memory and weights of the network: see model.h. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "runtime/base/blas.h"
#include "runtime/base/json.h"
#include "runtime/base/random.h"
#include "runtime/base/thread.h"
#include "runtime/data/mix.h"
#include "runtime/io/adapt.h"
#include "runtime/io/class_map.h"
#include "runtime/io/experts.h"
#include "runtime/io/network.h"
#include "runtime/io/safetensors.h"
#include "runtime/program/classes.h"
#include "runtime/program/message.h"
#include "runtime/program/model.h"

/* The larger of the two where a region serves both training and the evaluation after each epoch. */
static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static bool image_bytes(int64_t images, int64_t per_image, int64_t *out)
{
    int64_t floats;
    return images > 0 && per_image >= 0 && !__builtin_mul_overflow(images, per_image, &floats) &&
           !__builtin_mul_overflow(floats, (int64_t)sizeof(float), out);
}

static bool plan_regions(struct vrt_model *m, enum vrt_use use)
{
    const struct vrt_program *p = m->program;
    bool train = use != VRT_FOR_EVAL;
    int64_t *bytes = m->bytes, pixels, values;
    bytes[VRT_PARAMS] = p->params_bytes;
    bytes[VRT_PACKED] =
        train ? larger(p->packed_train_bytes, p->packed_eval_bytes) : p->packed_eval_bytes;
    bytes[VRT_GRADS] = bytes[VRT_MOMENT1] = train ? p->params_bytes : 0;
    bytes[VRT_MOMENT2] = train && p->moments == 2 ? p->params_bytes : 0;
    bytes[VRT_EMA] = use == VRT_FOR_TRAIN_EMA ? p->params_bytes : 0;
    bytes[VRT_ARENA] =
        train ? larger(p->arena_train_bytes, p->arena_eval_bytes) : p->arena_eval_bytes;
    bytes[VRT_BALANCE] = p->balance_bytes;
    if (__builtin_mul_overflow(p->height, p->width, &pixels) ||
        __builtin_mul_overflow(pixels, p->channels, &values))
        return false;
    return image_bytes(p->micro, values, &bytes[VRT_INPUT]) &&
           image_bytes(p->micro, p->classes, &bytes[VRT_OUTPUT]) &&
           image_bytes(p->micro, p->features, &bytes[VRT_FEATURES]) &&
           image_bytes(p->micro, p->choices, &bytes[VRT_CHOICES]) &&
           (!train || image_bytes(p->micro, p->classes, &bytes[VRT_TARGET]));
}

/* Fresh pages are zero and become resident when they are first touched. */
static bool map_regions(struct vrt_model *m, struct vrt_error *e)
{
    int64_t total = 0;
    for (int i = 0; i < VRT_REGIONS; i++) {
        if (m->bytes[i] < 0 || __builtin_add_overflow(total, m->bytes[i], &total))
            return vrt_fail(e, VRT_INTERNAL, "the program's table has an impossible size");
        if (m->bytes[i] == 0)
            continue;
        void *block = mmap(NULL, (size_t)m->bytes[i], PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (block == MAP_FAILED)
            return vrt_fail(e, VRT_NO_MEMORY, "no memory: %s at %.2f GiB%s", strerror(errno),
                            (double)total / 0x1p30,
                            m->program->micro > m->group
                                ? "; build the program with a smaller train.micro"
                                : "");
        if (m->bytes[i] >= VRT_HUGE_PAGE)
            madvise(block, (size_t)m->bytes[i], MADV_HUGEPAGE);
        m->ctx.region[i] = block;
    }
    return true;
}

bool vrt_model_open(struct vrt_model *m, const struct vrt_program *p, enum vrt_use use, int threads,
                    struct vrt_error *e)
{
    *m = (struct vrt_model){
        .program = p, .group = p->group > 0 ? p->group : 1, .nbalance = p->balance_bytes / 4};
    m->ctx.eps = 1e-8;
    if (!plan_regions(m, use))
        return vrt_fail(e, VRT_INTERNAL, "the program's table has an impossible size");
    m->balance = calloc((size_t)m->nbalance + 1, sizeof *m->balance);
    if (m->balance == NULL)
        return vrt_fail(e, VRT_NO_MEMORY, "no memory for the counts of the experts");
    bool blas = p->blas && use != VRT_FOR_EVAL;
    if (map_regions(m, e) && (!blas || vrt_blas_open(threads, e)) &&
        vrt_threads_start(&m->ctx, threads, p->scratch_bytes, e))
        return true;
    vrt_model_close(m);
    return false;
}

void vrt_model_close(struct vrt_model *m)
{
    vrt_threads_stop(&m->ctx);
    for (int i = 0; i < VRT_REGIONS; i++)
        if (m->ctx.region[i] != NULL)
            munmap(m->ctx.region[i], (size_t)m->bytes[i]);
    free(m->balance);
    *m = (struct vrt_model){0};
}

/* A normal number cut at +-2 (absolute, whatever the deviation). Both ways of rejection end soon:
 * the narrow normal is mostly inside, the wide one is nearly flat there. */
static double truncated_normal(struct vrt_random *r, double deviation)
{
    double x;
    if (deviation <= 2.0) {
        do
            x = deviation * vrt_random_normal(r);
        while (fabs(x) > 2.0);
        return x;
    }
    do
        x = 4.0 * vrt_random_uniform(r) - 2.0;
    while (vrt_random_uniform(r) > exp(-x * x / (2.0 * deviation * deviation)));
    return x;
}

static double initial_value(const struct vrt_param *p, struct vrt_random *r)
{
    switch (p->init) {
    case VRT_INIT_ONE:          return 1.0;
    case VRT_INIT_CONST:        return p->init_value;
    case VRT_INIT_TRUNC_NORMAL: return truncated_normal(r, p->init_value);
    case VRT_INIT_UNIFORM:      return p->init_value * (2.0 * vrt_random_uniform(r) - 1.0);
    default:                    return 0.0;
    }
}

struct init {
    struct vrt_model *m;
    uint64_t seed;
    const struct vrt_dataset *dataset; /* from here on: of vrt_model_begin() */
    const char *class_map, *known;     /* known: names in the file */
    bool matched;
};

static void init_param(void *data, int64_t i, int thread)
{
    const struct init *in = data;
    const struct vrt_param *p = &in->m->program->params[i];
    float *values = (float *)(void *)((char *)in->m->ctx.region[VRT_PARAMS] + p->offset);
    struct vrt_random r;
    (void)thread;
    vrt_random_start(&r, in->seed, VRT_RANDOM_INIT, (uint32_t)i, 0);
    for (int64_t j = 0; j < p->count; j++)
        values[j] =
            p->drawn > 0 && j >= p->drawn ? values[j - p->drawn] : (float)initial_value(p, &r);
}

void vrt_model_init(struct vrt_model *m, uint64_t seed)
{
    struct init in = {.m = m, .seed = seed};
    vrt_threads_share(&m->ctx, m->program->nparams, init_param, &in);
}

static void init_one(void *data, int64_t i)
{
    init_param(data, i, 0);
}

/* A line each, as vrt_adapt_load() has them. */
static void print_notes(const struct vrt_buffer *notes)
{
    const char *line = (const char *)notes->data;
    for (size_t left = notes->size; left > 0;) {
        const char *end = memchr(line, '\n', left);
        size_t n = end != NULL ? (size_t)(end - line) : left;
        vrt_messagef("note", "%.*s", (int)n, line);
        left -= n + (end != NULL);
        line += n + (end != NULL);
    }
}

/* Are all tensors of the program in the file as they are? */
static bool same_shapes(const struct vrt_tensors *t, const struct vrt_program *p)
{
    for (int64_t i = 0; i < p->nparams; i++) {
        const struct vrt_tensor *have = vrt_tensors_find(t, p->params[i].name);
        bool same = have != NULL && have->rank == (size_t)p->params[i].rank;
        for (size_t j = 0; same && j < have->rank; j++)
            same = have->shape[j] == (uint64_t)p->params[i].shape[j];
        if (!same)
            return false;
    }
    return true;
}

/* Of another network whose shapes fit, weights load without a word, and compute something else.
 * Where shapes differ that is known; only how pictures become input is not. */
static void tell_network(const struct vrt_tensors *t, const struct vrt_program *p)
{
    const char *hash = vrt_tensors_meta(t, "spec_hash"), *there = vrt_tensors_meta(t, "network");
    char what[1200] = "it does not say which", text[2000], *here = vrt_network_text(p->spec_text);
    bool other = hash != NULL && here != NULL && strcmp(hash, p->spec_hash) != 0;
    if (other && there != NULL)
        other = vrt_network_differs(there, here, !same_shapes(t, p), what, sizeof what);
    else if (other)
        other = same_shapes(t, p);
    snprintf(text, sizeof text, "%.500s was trained by another program%s: %s", vrt_tensors_path(t),
             there != NULL ? ", for another network" : " or recipe", what);
    if (other)
        vrt_message("note", text);
    free(here);
}

static bool load_tensors(struct vrt_model *m, const struct vrt_tensors *t,
                         const struct vrt_adapt *how, struct vrt_error *e)
{
    struct vrt_buffer notes = {0};
    bool ok = vrt_adapt_load(t, m->program, how, m->ctx.region[VRT_PARAMS], &notes, e);
    if (ok) {
        print_notes(&notes);
        tell_network(t, m->program);
    }
    vrt_buffer_free(&notes);
    return ok;
}

bool vrt_model_load(struct vrt_model *m, const char *path, const struct vrt_adapt *how,
                    char **classes, struct vrt_error *e)
{
    struct vrt_tensors *t;
    struct init in = {.m = m, .seed = how->seed};
    struct vrt_adapt adapt = *how;
    *classes = NULL;
    if (!vrt_tensors_open(&t, path, e))
        return false;
    adapt.fresh = init_one;
    adapt.data = &in;
    bool ok = load_tensors(m, t, &adapt, e);
    const char *names = vrt_tensors_meta(t, "classes");
    if (ok && names != NULL && (*classes = strdup(names)) == NULL)
        ok = vrt_fail(e, VRT_NO_MEMORY, "no memory to read %s", path);
    vrt_tensors_close(t);
    return ok;
}

static bool match_rows(void *data, int64_t in_file, int32_t *rows, int64_t count,
                       struct vrt_error *e)
{
    struct init *in = data;
    struct vrt_class_map map = {0};
    const struct vrt_class_rules rules = {
        .outputs = in_file,
        .known = in->known,
        .file = in->class_map != NULL ? &map : NULL,
    };
    bool ok = in->class_map == NULL || vrt_class_map_read(&map, in->class_map, in_file, e);
    ok = ok && vrt_classes_rows(&rules, in->dataset, rows, count, e);
    vrt_class_map_free(&map);
    in->matched = true;
    return ok;
}

bool vrt_model_begin(struct vrt_model *m, const char *path, const struct vrt_adapt *how,
                     const struct vrt_dataset *d, const char *class_map, struct vrt_error *e)
{
    struct vrt_tensors *t;
    struct init in = {.m = m, .seed = how->seed, .dataset = d, .class_map = class_map};
    struct vrt_adapt adapt = *how;
    if (!vrt_tensors_open(&t, path, e))
        return false;
    in.known = vrt_tensors_meta(t, "classes");
    adapt.fresh = init_one;
    adapt.match = match_rows;
    adapt.data = &in;
    bool ok = load_tensors(m, t, &adapt, e);
    if (ok && class_map != NULL && !in.matched)
        ok = vrt_fail(e, VRT_USAGE,
                      "--class-map says what the rows of a last linear layer are, and %s has none; "
                      "leave the flag out",
                      m->program->name);
    vrt_tensors_close(t);
    return ok;
}

/* The grids of positions, for whoever resamples them: {"pos_embed": [14,14]}; {} if there are
 * none. */
static char *positions_text(const struct vrt_program *p, struct vrt_error *e)
{
    json_t *j = json_object();
    for (int64_t i = 0; i < p->nroles; i++)
        if (p->roles[i].kind == VRT_ROLE_POSITIONS && p->roles[i].grid_height > 0)
            json_object_set_new(
                j, p->params[p->roles[i].param].name,
                json_pack("[i,i]", p->roles[i].grid_height, p->roles[i].grid_width));
    return vrt_json_write(j, JSON_COMPACT, "the grids of the positions", e);
}

/* How pictures become input, for whoever uses the weights elsewhere. */
static char *preprocessing_text(const struct vrt_program *p, struct vrt_error *e)
{
    json_t *j =
        json_pack("{s:[I,I,I], s:[f,f,f], s:[f,f,f], s:f, s:s, s:s}", "input_size",
                  (json_int_t)p->channels, (json_int_t)p->height, (json_int_t)p->width, "mean",
                  p->mean[0], p->mean[1], p->mean[2], "std", p->std[0], p->std[1], p->std[2],
                  "crop_pct", p->crop_pct, "crop_mode", p->squash ? "squash" : "center",
                  "interpolation", p->resample == 0 ? "bilinear" : "bicubic");
    return vrt_json_write(j, JSON_COMPACT | JSON_REAL_PRECISION(9), "the preprocessing", e);
}

bool vrt_model_save(const struct vrt_model *m, enum vrt_region region, const char *path,
                    const char *classes, struct vrt_error *e)
{
    const struct vrt_program *p = m->program;
    char *preprocessing = preprocessing_text(p, e),
         *positions = preprocessing != NULL ? positions_text(p, e) : NULL,
         *network = positions != NULL ? vrt_network_text(p->spec_text) : NULL;
    struct vrt_meta meta[8] = {
        {"format", "pt"}, /* shapes and layouts are PyTorch's, and readers ask for this word */
        {"producer", p->compiler},
        {"model", p->name},
        {"spec_hash", p->spec_hash},
        {"preprocessing", preprocessing},
    };
    size_t n = 5;
    bool ok = positions != NULL;
    if (ok && network == NULL)
        ok = vrt_fail(e, VRT_NO_MEMORY, "no memory to write %s", path);
    if (ok && strcmp(positions, "{}") != 0)
        meta[n++] = (struct vrt_meta){"positions", positions};
    if (ok && network[0] != '\0')
        meta[n++] = (struct vrt_meta){"network", network};
    if (classes != NULL)
        meta[n++] = (struct vrt_meta){"classes", classes};
    ok = ok && vrt_tensors_save(path, p->params, p->nparams, m->ctx.region[region], meta, n, e);
    free(preprocessing);
    free(positions);
    free(network);
    return ok;
}

void vrt_model_targets(struct vrt_model *m, const int32_t *labels, int64_t n, double smoothing,
                       const struct vrt_mix *mix, int64_t group)
{
    int64_t classes = m->program->classes;
    float *target = vrt_model_floats(m, VRT_TARGET), low = (float)(smoothing / (double)classes);
    float keep = mix->on ? mix->keep : 1.0f, peak = (float)(1.0 - smoothing);
    for (int64_t i = 0; i < n * classes; i++)
        target[i] = low;
    for (int64_t i = 0; i < n; i++) {
        target[i * classes + labels[i]] += keep * peak;
        if (mix->on)
            target[i * classes + labels[vrt_mix_partner(i, group)]] += (1.0f - keep) * peak;
    }
}

void vrt_model_drain(struct vrt_model *m)
{
    vrt_balance_drain(m->program->moes, m->program->nmoes, m->ctx.region[VRT_BALANCE], m->balance);
}

void vrt_model_reset_balance(struct vrt_model *m)
{
    vrt_model_drain(m);
    memset(m->balance, 0, (size_t)m->nbalance * sizeof *m->balance);
}
