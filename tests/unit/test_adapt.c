/* Weights of one network for another: renamed, reshaped, resampled, copied into experts, cut; and
 * what must be refused. Files are written by our own writer; the numbers of resampled positions are
 * PyTorch's (tests/reference/positions.py). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "runtime/io/adapt.h"
#include "runtime/io/safetensors.h"
#include "runtime/vrt.h"

enum { TENSORS = 16, ROOM = 4096 };

static char path[] = "/tmp/vmoe-adapt-XXXXXX";

/* A table of tensors from lines such as "a.weight 2 3"; the tensors lie one after the other. */
struct table {
    struct vrt_param at[TENSORS];
    char names[TENSORS][120];
    int64_t n;
};

static void make_table(struct table *t, const char *const *lines)
{
    int64_t offset = 0;
    memset(t, 0, sizeof *t);
    for (; lines[t->n] != NULL; t->n++) {
        struct vrt_param *p = &t->at[t->n];
        long long s[4] = {0};
        assert_true(t->n < TENSORS);
        int got = sscanf(lines[t->n], "%119s %lld %lld %lld %lld", t->names[t->n], &s[0], &s[1],
                         &s[2], &s[3]);
        *p = (struct vrt_param){
            .name = t->names[t->n], .rank = got - 1, .offset = offset, .count = 1};
        for (int i = 0; i < got - 1; i++) {
            p->shape[i] = s[i];
            p->count *= s[i];
        }
        offset += p->count * 4;
        assert_true(offset <= ROOM * 4);
    }
}

/* A different number for each element of each tensor of a file. */
static float value(int64_t tensor, int64_t element)
{
    return (float)(tensor + 1) + (float)element / 1024.0f;
}

static void make_file(const char *const *lines, const struct vrt_meta *meta, size_t nmeta)
{
    static float block[ROOM];
    struct table t;
    struct vrt_error e;
    make_table(&t, lines);
    for (int64_t i = 0; i < t.n; i++)
        for (int64_t j = 0; j < t.at[i].count; j++)
            block[t.at[i].offset / 4 + j] = value(i, j);
    assert_true(vrt_tensors_save(path, t.at, t.n, block, meta, nmeta, &e));
}

/* What a load left. */
struct outcome {
    struct table table;
    float block[ROOM];
    struct vrt_error e;
    char notes[2000];
    bool ok;
};

static const float fresh_value = -77;

static void make_fresh(void *data, int64_t param)
{
    struct outcome *o = data;
    for (int64_t j = 0; j < o->table.at[param].count; j++)
        o->block[o->table.at[param].offset / 4 + j] = fresh_value;
}

static const struct vrt_moe moes[] = {
    {.name = "s1[1].mlp", .prefix = "b.0.mlp", .experts = 2, .top_k = 1},
    {.name = "s1[2].mlp", .prefix = "b.1.mlp", .experts = 2, .top_k = 1},
};

/* Load the file at `path` into a program with these tensors. */
static const struct outcome *load(const char *const *lines, const struct vrt_role *roles,
                                  int64_t nroles, struct vrt_adapt how)
{
    static struct outcome o;
    struct vrt_tensors *t;
    struct vrt_buffer notes = {0};
    o.e.text[0] = '\0';
    make_table(&o.table, lines);
    for (int i = 0; i < ROOM; i++)
        o.block[i] = NAN;
    const struct vrt_program p = {
        .params = o.table.at,
        .nparams = o.table.n,
        .roles = roles,
        .nroles = nroles,
        .moes = moes,
        .nmoes = 2,
    };
    how.fresh = make_fresh;
    how.data = &o;
    assert_true(vrt_tensors_open(&t, path, &o.e));
    o.ok = vrt_adapt_load(t, &p, &how, o.block, &notes, &o.e);
    snprintf(o.notes, sizeof o.notes, "%.*s", (int)notes.size,
             notes.data != NULL ? (const char *)notes.data : "");
    vrt_buffer_free(&notes);
    vrt_tensors_close(t);
    if (!o.ok)
        for (int i = 0; i < ROOM; i++)
            assert_true(isnan(o.block[i])); /* nothing is loaded partly */
    return &o;
}

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})
#define HAS(text, part)                              \
    do {                                             \
        if (strstr(text, part) == NULL)              \
            fail_msg("`%s` lacks `%s`", text, part); \
    } while (0)

/* Tensor i of the program is tensor `from` of the file, from element `first` on. */
static void is_from(const struct outcome *o, int64_t i, int64_t from, int64_t first)
{
    for (int64_t j = 0; j < o->table.at[i].count; j++)
        assert_true(o->block[o->table.at[i].offset / 4 + j] == value(from, first + j));
}

static const struct vrt_adapt strict, fine_tune = {.fine_tune = true}, upcycle = {.upcycle = true};

static void takes_equal_tables(void **state)
{
    (void)state;
    make_file(LIST("a 2 3", "b 4"), NULL, 0);
    const struct outcome *o = load(LIST("b 4", "a 2 3"), NULL, 0, strict);
    assert_true(o->ok);
    is_from(o, 0, 1, 0);
    is_from(o, 1, 0, 0);
    assert_string_equal(o->notes, "");
}

static void adds_and_drops_axes(void **state)
{
    (void)state;
    make_file(LIST("fc1 4 2 1 1", "fc2 2 4", "x 1 1 3"), NULL, 0);
    const struct outcome *o = load(LIST("fc1 4 2", "fc2 2 4 1 1", "x 1 1 3"), NULL, 0, strict);
    assert_true(o->ok);
    is_from(o, 0, 0, 0);
    is_from(o, 1, 1, 0);
    HAS(o->notes, "axes of 1 taken off or added: fc1 (4,2,1,1) to (4,2) and 1 more\n");
    assert_false(
        load(LIST("fc1 4 2", "fc2 2 4", "x 3"), NULL, 0, strict)->ok); /* only at the end */
    assert_false(load(LIST("fc1 2 4", "fc2 2 4", "x 1 1 3"), NULL, 0, strict)
                     ->ok); /* equal elements are not enough */
}

static void takes_wrappers_off(void **state)
{
    (void)state;
    make_file(LIST("module.model.a 2", "module.model.b 3"), NULL, 0);
    const struct outcome *o = load(LIST("a 2", "b 3"), NULL, 0, strict);
    assert_true(o->ok);
    is_from(o, 1, 1, 0);
    assert_string_equal(o->notes, "`module.` taken off all names\n`model.` taken off all names\n");
    assert_true(load(LIST("module.model.a 2", "module.model.b 3"), NULL, 0, strict)->ok);
    make_file(LIST("model.a 2", "b 3"), NULL, 0);
    o = load(LIST("a 2", "b 3"), NULL, 0, strict);
    assert_false(o->ok); /* not all carry it */
    HAS(o->e.text, "missing (1): a\n");
    HAS(o->e.text, "not of this model (1): model.a");
}

static void knows_original_names(void **state)
{
    static const char *const cases[][2] = {
        {"downsample_layers.0.0.weight", "stem.0.weight"},
        {"downsample_layers.2.1.bias", "stages.2.downsample.1.bias"},
        {"stages.1.12.dwconv.weight", "stages.1.blocks.12.conv_dw.weight"},
        {"stages.0.0.gamma", "stages.0.blocks.0.gamma"},
        {"stages.0.0.norm.weight", "stages.0.blocks.0.norm.weight"},
        {"stages.0.0.pwconv1.weight", "stages.0.blocks.0.mlp.fc1.weight"},
        {"stages.0.0.pwconv2.bias", "stages.0.blocks.0.mlp.fc2.bias"},
        {"norm.weight", "head.norm.weight"},
        {"head.bias", "head.fc.bias"},
    };
    enum { CASES = sizeof cases / sizeof *cases };
    char from[CASES][64], to[CASES][64];
    const char *old[CASES + 1] = {NULL}, *new[CASES + 1] = {NULL};
    (void)state;
    for (int i = 0; i < CASES; i++) {
        snprintf(from[i], sizeof from[i], "%s %d", cases[i][0], i + 1);
        snprintf(to[i], sizeof to[i], "%s %d", cases[i][1], i + 1);
        old[i] = from[i];
        new[i] = to[i];
    }
    make_file(old, NULL, 0);
    const struct outcome *o = load(new, NULL, 0, strict);
    if (!o->ok)
        fail_msg("%s", o->e.text);
    for (int i = 0; i < CASES; i++)
        is_from(o, i, i, 0);
    HAS(o->notes, "names of a first repository (dwconv, pwconv1, pwconv2): head.bias for "
                  "head.fc.bias and 8 more\n");
    make_file(LIST("blocks.0.dwconv.weight 2", "blocks.0.norm.weight 3"), NULL,
              0); /* the isotropic ones */
    assert_true(
        load(LIST("blocks.0.conv_dw.weight 2", "blocks.0.norm.weight 3"), NULL, 0, strict)->ok);
    make_file(LIST("blocks.3.gamma_1 2", "blocks.3.gamma_2 3"), NULL, 0);
    assert_true(load(LIST("blocks.3.ls1.gamma 2", "blocks.3.ls2.gamma 3"), NULL, 0, strict)->ok);
    make_file(LIST("norm.weight 2", "head.weight 3"), NULL, 0); /* no sign of that repository */
    assert_false(load(LIST("head.norm.weight 2", "head.fc.weight 3"), NULL, 0, strict)->ok);
}

static void swaps_the_last_norm_in_training(void **state)
{
    (void)state;
    make_file(LIST("norm.weight 2", "norm.bias 2"), NULL, 0);
    const struct outcome *o = load(LIST("fc_norm.weight 2", "fc_norm.bias 2"), NULL, 0, fine_tune);
    assert_true(o->ok);
    is_from(o, 1, 1, 0);
    HAS(o->notes, "other name: norm.bias for fc_norm.bias and 1 more");
    o = load(LIST("fc_norm.weight 2", "fc_norm.bias 2"), NULL, 0, strict);
    assert_false(o->ok);
    HAS(o->e.text, "for `train --weights` only");
    make_file(LIST("fc_norm.weight 2", "fc_norm.bias 2"), NULL, 0);
    assert_true(load(LIST("norm.weight 2", "norm.bias 2"), NULL, 0, fine_tune)->ok);
}

static void starts_a_new_head_in_training(void **state)
{
    static const struct vrt_role roles[] = {{.param = 1, .kind = VRT_ROLE_HEAD},
                                            {.param = 2, .kind = VRT_ROLE_HEAD}};
    (void)state;
    make_file(LIST("a 3", "head.weight 5 3", "head.bias 5"), NULL, 0);
    const struct outcome *o =
        load(LIST("a 3", "head.weight 2 3", "head.bias 2"), roles, 2, fine_tune);
    assert_true(o->ok);
    is_from(o, 0, 0, 0);
    for (int j = 3; j < 3 + 6 + 2; j++)
        assert_true(o->block[j] == fresh_value);
    HAS(o->notes,
        "a new head for another number of classes: head.weight (5,3) to (2,3) and 1 more");
    o = load(LIST("a 3", "head.weight 2 3", "head.bias 2"), roles, 2, strict);
    assert_false(o->ok);
    HAS(o->e.text, "other shape (2): head.weight (5,3) not (2,3)");
    HAS(o->e.text, "for `train --weights` only");
    assert_false(load(LIST("a 3", "head.weight 5 2", "head.bias 5"), roles, 2, fine_tune)
                     ->ok); /* another width */
    assert_false(load(LIST("a 2", "head.weight 5 3", "head.bias 5"), roles, 2, fine_tune)
                     ->ok); /* not the head */
}

/* A training's match: the rows of this list, for as many. */
static const int32_t *wanted_rows;
static int64_t rows_in_file;

static bool match(void *data, int64_t in_file, int32_t *rows, int64_t count, struct vrt_error *e)
{
    (void)data, (void)e;
    rows_in_file = in_file;
    memcpy(rows, wanted_rows, (size_t)count * sizeof *rows);
    return true;
}

static bool match_nothing(void *data, int64_t in_file, int32_t *rows, int64_t count,
                          struct vrt_error *e)
{
    (void)data, (void)rows, (void)count, (void)e;
    rows_in_file = in_file;
    return true;
}

static bool match_fails(void *data, int64_t in_file, int32_t *rows, int64_t count,
                        struct vrt_error *e)
{
    (void)data, (void)in_file, (void)rows, (void)count;
    return vrt_fail(e, VRT_BAD_INPUT, "no such class");
}

static void has_rows(const struct outcome *o, int64_t weight, int64_t from, const int32_t *rows)
{
    int64_t count = o->table.at[weight].shape[0];
    for (int64_t tensor = 0; tensor < 2; tensor++) { /* the weight, and the bias behind it */
        int64_t n = o->table.at[weight + tensor].count / count;
        const float *to = o->block + o->table.at[weight + tensor].offset / 4;
        for (int64_t i = 0; i < count; i++)
            for (int64_t j = 0; j < n; j++)
                assert_true(to[i * n + j] ==
                            (rows[i] < 0 ? fresh_value : value(from + tensor, rows[i] * n + j)));
    }
}

static void moves_rows_of_the_head(void **state)
{
    static const struct vrt_role roles[] = {{.param = 1, .kind = VRT_ROLE_HEAD},
                                            {.param = 2, .kind = VRT_ROLE_HEAD}};
    static const struct {
        const char *file[2], *program[2];
        int32_t rows[4];
        const char *note;
    } cases[] = {
        {{"head.weight 3 2", "head.bias 3"}, {"head.weight 3 2", "head.bias 3"}, {0, 1, 2}, ""},
        {{"head.weight 3 2", "head.bias 3"},
         {"head.weight 3 2", "head.bias 3"},
         {2, 0, 1},
         "3 kept, 0 begin afresh, 0 of the file left out\n"},
        {{"head.weight 3 2", "head.bias 3"},
         {"head.weight 3 2", "head.bias 3"},
         {-1, -1, -1},
         "0 kept, 3 begin afresh, 3 of the file left out\n"},
        {{"head.weight 3 2", "head.bias 3"},
         {"head.weight 4 2", "head.bias 4"},
         {0, -1, 2, 9},
         "2 kept, 2 begin afresh, 1 of the file left out\n"},
        {{"head.weight 4 2", "head.bias 4"},
         {"head.weight 2 2", "head.bias 2"},
         {3, 1},
         "2 kept, 0 begin afresh, 2 of the file left out\n"},
        {{"head.weight 4 2 1 1", "head.bias 4"},
         {"head.weight 4 2", "head.bias 4"},
         {3, 2, 1, 0},
         "4 kept, 0 begin afresh, 0 of the file left out\n"},
        {{"head.weight 4 2", "head.bias 4"},
         {"head.weight 2 2", "head.bias 2"},
         {-1, -1},
         "a new head for another number of classes: head.weight (4,2) to (2,2) and 1 more\n"},
    };
    struct vrt_adapt how = {.fine_tune = true, .match = match};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make_file(LIST("a 3", cases[i].file[0], cases[i].file[1]), NULL, 0);
        wanted_rows = cases[i].rows;
        const struct outcome *o =
            load(LIST("a 3", cases[i].program[0], cases[i].program[1]), roles, 2, how);
        if (!o->ok)
            fail_msg("%s", o->e.text);
        int32_t rows[4];
        for (int j = 0; j < 4; j++)
            rows[j] = cases[i].rows[j] < rows_in_file ? cases[i].rows[j] : -1;
        is_from(o, 0, 0, 0);
        has_rows(o, 1, 1, rows);
        HAS(o->notes, cases[i].note);
        assert_true(cases[i].note[0] != '\0' || o->notes[0] == '\0');
    }
    how.match = match_nothing; /* as it was without */
    make_file(LIST("a 3", "head.weight 3 2", "head.bias 3"), NULL, 0);
    const struct outcome *o = load(LIST("a 3", "head.weight 3 2", "head.bias 3"), roles, 2, how);
    is_from(o, 1, 1, 0);
    assert_string_equal(o->notes, "");
    o = load(LIST("a 3", "head.weight 2 2", "head.bias 2"), roles, 2, how);
    has_rows(o, 1, 1, (const int32_t[]){-1, -1});
    how.match = match_fails;
    o = load(LIST("a 3", "head.weight 3 2", "head.bias 3"), roles, 2, how);
    assert_false(o->ok);
    HAS(o->e.text, "no such class");
}

/* The head is found behind wrappers and other tools' names, beside experts that are copied or
 * left out. */
static void moves_rows_beside_other_changes(void **state)
{
    static const int32_t back[] = {2, 1, 0};
    static const struct vrt_role roles[] = {{.param = 2, .kind = VRT_ROLE_HEAD},
                                            {.param = 3, .kind = VRT_ROLE_HEAD}};
    struct vrt_adapt how = {.fine_tune = true, .match = match};
    (void)state;
    wanted_rows = back;
    make_file(LIST("module.downsample_layers.0.0.weight 2", "module.stages.0.0.dwconv.weight 2",
                   "module.head.weight 3 2", "module.head.bias 3"),
              NULL, 0);
    const struct outcome *o = load(LIST("stem.0.weight 2", "stages.0.blocks.0.conv_dw.weight 2",
                                        "head.fc.weight 3 2", "head.fc.bias 3"),
                                   roles, 2, how);
    if (!o->ok)
        fail_msg("%s", o->e.text);
    has_rows(o, 2, 2, back);
    HAS(o->notes, "3 kept");
    make_file(LIST("b.0.mlp.fc.weight 5", "head.weight 3 2", "head.bias 3"), NULL, 0);
    how.upcycle = true;
    o = load(LIST("b.0.mlp.router.weight 2 3", "b.0.mlp.experts.fc.weight 2 5", "head.weight 3 2",
                  "head.bias 3"),
             roles, 2, how);
    assert_true(o->ok);
    has_rows(o, 2, 1, back);
    how = (struct vrt_adapt){.fine_tune = true, .match = match, .keep = "3,1"};
    make_file(LIST("b.0.mlp.router.weight 4 3", "b.0.mlp.experts.fc.weight 4 5", "head.weight 3 2",
                   "head.bias 3"),
              NULL, 0);
    o = load(LIST("b.0.mlp.router.weight 2 3", "b.0.mlp.experts.fc.weight 2 5", "head.weight 3 2",
                  "head.bias 3"),
             roles, 2, how);
    assert_true(o->ok);
    has_rows(o, 2, 2, back);
}

static const char *const dense[] = {"b.0.mlp.fc1.weight 6 3", "b.0.mlp.fc1.bias 6", "x 2", NULL};
static const char *const sparse[] = {"b.0.mlp.router.weight 2 3",
                                     "b.0.mlp.experts.fc1.weight 2 6 3",
                                     "b.0.mlp.experts.fc1.bias 2 6", "x 2", NULL};

static void copies_dense_layers_into_experts(void **state)
{
    (void)state;
    make_file(dense, NULL, 0);
    const struct outcome *o = load(sparse, NULL, 0, upcycle);
    assert_true(o->ok);
    for (int j = 0; j < 6; j++)
        assert_true(o->block[j] == fresh_value);
    for (int expert = 0; expert < 2; expert++)
        for (int j = 0; j < 18; j++)
            assert_true(o->block[6 + expert * 18 + j] == value(0, j));
    is_from(o, 3, 2, 0);
    HAS(o->notes,
        "experts copied from dense layers: b.0.mlp.experts.fc1.weight (6,3) to (2,6,3) and 1 more");
    HAS(o->notes, "initial values beside copied experts: b.0.mlp.router.weight\n");
    o = load(sparse, NULL, 0, strict);
    assert_false(o->ok);
    HAS(o->e.text, "missing (3): b.0.mlp.router.weight");
    HAS(o->e.text, "--upcycle copies each");
    make_file(LIST("b.0.mlp.fc1.weight 6 3 1 1", "b.0.mlp.fc1.bias 6", "x 2"), NULL, 0);
    assert_true(load(sparse, NULL, 0, upcycle)->ok); /* 1 x 1 convolutions are copied, too */
    make_file(LIST("b.0.mlp.fc1.weight 6 3", "b.0.mlp.fc1.bias 6", "b.0.mlp.fc3.bias 6", "x 2"),
              NULL, 0);
    o = load(sparse, NULL, 0, upcycle);
    assert_false(o->ok); /* what no expert takes is not dropped */
    HAS(o->e.text, "not of this model (1): b.0.mlp.fc3.bias");
    make_file(sparse, NULL, 0);
    o = load(sparse, NULL, 0, upcycle);
    assert_false(o->ok); /* a flag that changes nothing */
    HAS(o->e.text, "--upcycle has nothing to do");
}

static void copies_into_shared_and_kinds(void **state)
{
    static const char *const kinds[] = {
        "b.0.mlp.router.weight 3 3", "b.0.mlp.experts.large.fc1.weight 2 6 3",
        "b.0.mlp.shared.fc1.weight 6 3", "b.1.mlp.shared.fc1.weight 3 6 3", NULL};
    (void)state;
    make_file(LIST("b.0.mlp.fc1.weight 6 3", "b.1.mlp.fc1.weight 6 3"), NULL, 0);
    const struct outcome *o =
        load(kinds, NULL, 0, (struct vrt_adapt){.upcycle = true, .noise = 0.1});
    if (!o->ok)
        fail_msg("%s", o->e.text);
    is_from(o, 2, 0, 0); /* without noise */
    for (int j = 0; j < 18; j++)
        assert_true(o->block[9 + 36 + 18 + 36 + j] == value(1, j));
    o = load(LIST("b.0.mlp.router.weight 4 3", "b.0.mlp.experts.large.fc1.weight 2 6 3",
                  "b.0.mlp.experts.small.fc1.weight 2 4 3", "b.1.mlp.shared.fc1.weight 6 3"),
             NULL, 0, upcycle);
    assert_false(o->ok);
    HAS(o->e.text, "other shape (1): b.0.mlp.experts.small.fc1.weight (6,3) not (2,4,3)");
}

static void adds_noise_to_copies(void **state)
{
    enum { N = 1500 };
    static float first[2 * N];
    double deviation = (double)N / 1024 / sqrt(12), sums[2] = {0}, squares[2] = {0}, product = 0;
    struct vrt_adapt how = {.upcycle = true, .noise = 0.5, .seed = 3};
    (void)state;
    make_file(LIST("b.0.mlp.fc.weight 1500"), NULL, 0);
    const struct outcome *o = load(LIST("b.0.mlp.experts.fc.weight 2 1500"), NULL, 0, how);
    assert_true(o->ok);
    for (int j = 0; j < N; j++) {
        double z[2];
        for (int i = 0; i < 2; i++) {
            z[i] = (double)(o->block[i * N + j] - value(0, j)) / (0.5 * deviation);
            sums[i] += z[i];
            squares[i] += z[i] * z[i];
        }
        product += z[0] * z[1];
    }
    for (int i = 0; i < 2; i++) { /* five standard errors */
        assert_true(fabs(sums[i] / N) < 5 / sqrt(N));
        assert_true(fabs(squares[i] / N - 1) < 5 * sqrt(2.0 / N));
    }
    assert_true(fabs(product / N) < 5 / sqrt(N)); /* of its own for each expert */
    memcpy(first, o->block, sizeof first);
    assert_memory_equal(first, load(LIST("b.0.mlp.experts.fc.weight 2 1500"), NULL, 0, how)->block,
                        sizeof first);
    how.seed = 4;
    assert_memory_not_equal(
        first, load(LIST("b.0.mlp.experts.fc.weight 2 1500"), NULL, 0, how)->block, sizeof first);
    how.upcycle = false;
    assert_int_equal(load(LIST("b.0.mlp.experts.fc.weight 2 1500"), NULL, 0, how)->e.code,
                     VRT_USAGE);
}

static void keeps_some_experts(void **state)
{
    static const char *const small[] = {"b.0.mlp.router.weight 2 3", "b.0.mlp.experts.fc.bias 2 5",
                                        "b.1.mlp.router.weight 2 3", "b.1.mlp.experts.fc.bias 2 5",
                                        NULL};
    static const struct {
        const char *list, *expect;
    } wrong[] = {
        {"", "must be a list"},
        {"0,", "must be a list"},
        {"0,0", "must be a list"},
        {"0;1", "must be a list"},
        {"-1,0", "must be a list"},
        {"0, 1", "must be a list"},
        {"99999999,1", "must be a list"},
        {"s9[1].mlp=0,1", "s1[1].mlp, ..."},
        {"s1[1].mlp=0,1;s1[1].mlp=0,1", "must be a list"},
        {"0,1,2", "list 3"},
        {"0", "list 1"},
        {"0,4", "0 .. 3"},
    };
    (void)state;
    make_file(LIST("b.0.mlp.router.weight 4 3", "b.0.mlp.experts.fc.bias 4 5",
                   "b.1.mlp.router.weight 4 3", "b.1.mlp.experts.fc.bias 4 5"),
              NULL, 0);
    const struct outcome *o = load(small, NULL, 0, (struct vrt_adapt){.keep = "3,1"});
    assert_true(o->ok);
    for (int layer = 0; layer < 4; layer += 2)
        for (int j = 0; j < 5; j++) {
            const float *bias = o->block + o->table.at[layer + 1].offset / 4,
                        *router = o->block + o->table.at[layer].offset / 4;
            assert_true(bias[j] == value(layer + 1, 15 + j) &&
                        bias[5 + j] == value(layer + 1, 5 + j));
            assert_true(router[0] == value(layer, 9) && router[3] == value(layer, 3));
        }
    HAS(o->notes, "experts kept: b.0.mlp.router.weight (4,3) to (2,3) and 3 more");
    o = load(small, NULL, 0, (struct vrt_adapt){.keep = "s1[2].mlp=0,2;s1[1].mlp=0,1"});
    assert_true(o->ok);
    assert_true(o->block[o->table.at[3].offset / 4 + 5] == value(3, 10) &&
                o->block[o->table.at[1].offset / 4 + 5] == value(1, 5));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        o = load(small, NULL, 0, (struct vrt_adapt){.keep = wrong[i].list});
        assert_false(o->ok);
        assert_int_equal(o->e.code, VRT_USAGE);
        HAS(o->e.text, wrong[i].expect);
    }
    o = load(small, NULL, 0, strict);
    assert_false(o->ok);
    HAS(o->e.text, "other shape (4)");
    HAS(o->e.text, "--keep-experts 0,2,..");
    assert_false(load(small, NULL, 0, (struct vrt_adapt){.keep = "s1[1].mlp=0,1"})->ok);
    make_file(small, NULL, 0);
    o = load(small, NULL, 0, (struct vrt_adapt){.keep = "0,1"});
    assert_false(o->ok);
    HAS(o->e.text, "--keep-experts has nothing to do");
    o = load(small, NULL, 0, (struct vrt_adapt){.keep = "s1[1].mlp=0,1"});
    HAS(o->e.text, "none to leave out");
}

/* -- positions: against PyTorch -- */

static void fill_numbers(float *to, const json_t *numbers)
{
    for (size_t i = 0; i < json_array_size(numbers); i++)
        to[i] = (float)json_number_value(json_array_get(numbers, i));
}

static int64_t number_at(const json_t *list, size_t i)
{
    return json_integer_value(json_array_get(list, i));
}

static void check_case(const json_t *c)
{
    static float from[ROOM], to[ROOM];
    const json_t *old = json_object_get(c, "old"), *new = json_object_get(c, "new");
    int64_t before = json_integer_value(json_object_get(c, "before")),
            cols = json_integer_value(json_object_get(c, "cols"));
    int64_t h = number_at(old, 0), w = number_at(old, 1), h1 = number_at(new, 0),
            w1 = number_at(new, 1);
    char had[60], wanted[60], grid[60];
    struct vrt_error e;
    struct table t;
    const struct vrt_role role = {.param = 0,
                                  .kind = VRT_ROLE_POSITIONS,
                                  .grid_height = (int32_t)h1,
                                  .grid_width = (int32_t)w1};
    const struct vrt_meta meta = {"positions", grid};
    snprintf(had, sizeof had, "p 1 %d %d", (int)(before + h * w), (int)cols);
    snprintf(wanted, sizeof wanted, "p 1 %d %d", (int)(before + h1 * w1), (int)cols);
    snprintf(grid, sizeof grid, "{\"p\":[%d,%d]}", (int)h, (int)w);
    make_table(&t, LIST(had));
    assert_int_equal(t.at[0].count, json_array_size(json_object_get(c, "from")));
    fill_numbers(from, json_object_get(c, "from"));
    fill_numbers(to, json_object_get(c, "to"));
    for (size_t told = h == w ? 0 : 1; told < 2; told++) { /* without metadata grids are squares */
        assert_true(vrt_tensors_save(path, t.at, 1, from, &meta, told, &e));
        const struct outcome *o = load(LIST(wanted), &role, 1, strict);
        if (!o->ok)
            fail_msg("%s", o->e.text);
        assert_int_equal(o->table.at[0].count, json_array_size(json_object_get(c, "to")));
        for (int64_t i = 0; i < o->table.at[0].count; i++)
            assert_true(fabsf(o->block[i] - to[i]) <= 5e-7f); /* PyTorch sums in single precision */
        assert_true(before == 0 || memcmp(o->block, from, (size_t)(before * cols) * 4) == 0);
        HAS(o->notes, "positions resampled: p (1,");
    }
}

static void resamples_positions(void **state)
{
    const char *top = getenv("top_srcdir");
    char name[1000];
    json_error_t error;
    size_t i;
    json_t *c;
    (void)state;
    snprintf(name, sizeof name, "%s/tests/reference/positions.json", top != NULL ? top : ".");
    json_t *cases = json_load_file(name, 0, &error);
    assert_true(json_array_size(cases) >= 7);
    json_array_foreach(cases, i, c) check_case(c);
    json_decref(cases);
}

static void leaves_other_positions(void **state)
{
    static const struct vrt_role role = {
        .param = 0, .kind = VRT_ROLE_POSITIONS, .grid_height = 2, .grid_width = 8};
    const struct vrt_meta lies[] = {{"positions", "{\"p\":[-2,-8]}"},
                                    {"positions", "{\"p\":[1,17]}"},
                                    {"positions", "[]"},
                                    {"positions", "{\"p\":[99999999999,8]}"},
                                    {"positions", "{"}};
    (void)state;
    make_file(LIST("p 1 17 3"), NULL, 0);
    const struct outcome *o = load(LIST("p 1 17 3"), &role, 1, strict);
    assert_true(o->ok); /* as many tokens: as they are */
    is_from(o, 0, 0, 0);
    make_file(LIST("p 1 18 3"), NULL, 0);
    o = load(LIST("p 1 17 3"), &role, 1, strict);
    assert_false(o->ok); /* 17 without the class token: no square */
    HAS(o->e.text, "other shape (1): p (1,18,3) not (1,17,3)");
    assert_false(load(LIST("p 1 17 4"), &role, 1, strict)->ok);
    assert_false(load(LIST("p 1 17 3"), NULL, 0, strict)->ok); /* no positions, whatever the name */
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        make_file(LIST("p 1 20 3"), &lies[i], 1);
        assert_false(load(LIST("p 1 17 3"), &role, 1, strict)->ok);
    }
}

static void reports_what_differs(void **state)
{
    (void)state;
    make_file(LIST("a 2", "c 1", "d 1", "e 1", "f 1", "g 1", "h 1", "i 1", "j 1", "k 1"), NULL, 0);
    const struct outcome *o = load(LIST("a 3", "b 1"), NULL, 0, strict);
    assert_false(o->ok);
    assert_int_equal(o->e.code, VRT_BAD_INPUT);
    HAS(o->e.text, "holds the weights of another model:");
    HAS(o->e.text, "missing (1): b\n");
    HAS(o->e.text, "not of this model (9): c d e f g h i j and 1 more\n");
    HAS(o->e.text, "other shape (1): a (2) not (3)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_equal_tables),
        cmocka_unit_test(adds_and_drops_axes),
        cmocka_unit_test(takes_wrappers_off),
        cmocka_unit_test(knows_original_names),
        cmocka_unit_test(swaps_the_last_norm_in_training),
        cmocka_unit_test(starts_a_new_head_in_training),
        cmocka_unit_test(moves_rows_of_the_head),
        cmocka_unit_test(moves_rows_beside_other_changes),
        cmocka_unit_test(copies_dense_layers_into_experts),
        cmocka_unit_test(copies_into_shared_and_kinds),
        cmocka_unit_test(adds_noise_to_copies),
        cmocka_unit_test(keeps_some_experts),
        cmocka_unit_test(resamples_positions),
        cmocka_unit_test(leaves_other_positions),
        cmocka_unit_test(reports_what_differs),
    };
    int fd = mkstemp(path);
    if (fd < 0)
        return 1;
    close(fd);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    int failed = cmocka_run_group_tests_name("adapt", tests, NULL, NULL);
    unlink(path);
    return failed;
}
