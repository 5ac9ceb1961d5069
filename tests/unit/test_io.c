/* The files of a run: weights, states, metrics, tables. Everything is written into a temporary
 * folder, then damaged in every way that the readers must notice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/base/buffer.h"
#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "runtime/io/adapt.h"
#include "runtime/io/metrics.h"
#include "runtime/io/verdict.h"
#include "runtime/io/progress.h"
#include "runtime/io/put.h"
#include "runtime/io/safetensors.h"
#include "runtime/io/state.h"
#include "runtime/vrt.h"
#include "tests/unit/fixture.h"

static const char *in_folder(const char *name)
{
    static char texts[4][512];
    static int turn;
    char *text = texts[turn++ & 3];
    snprintf(text, sizeof texts[0], "%s/%s", folder, name);
    return text;
}

static void write_bytes(const char *path, const void *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

static struct vrt_buffer read_bytes(const char *path)
{
    struct vrt_buffer b = {0};
    struct vrt_error e;
    assert_true(vrt_file_read(path, 1 << 24, &b, &e));
    return b;
}

static const struct vrt_param params[] = {
    {"a.weight", 2, VRT_INIT_ZERO, {2, 3, 0, 0}, 0, 6, 0, NAN, 1, 0},
    {"a.bias", 1, VRT_INIT_ZERO, {2, 0, 0, 0}, 64, 2, 0, 0, 1, 0},
};
static const float values[24] = {1, 2, 3, 4, 5, 6, [16] = 7, [17] = -8};

/* Strictly: nothing but equal names and shapes. */
static bool load(const struct vrt_tensors *t, const struct vrt_param *table, int64_t n, void *block,
                 struct vrt_error *e)
{
    const struct vrt_program p = {.params = table, .nparams = n};
    const struct vrt_adapt how = {.upcycle = false};
    struct vrt_buffer notes = {0};
    bool ok = vrt_adapt_load(t, &p, &how, block, &notes, e);
    vrt_buffer_free(&notes);
    return ok;
}

static void keeps_weights(void **state)
{
    const char *path = in_folder("w.safetensors");
    const struct vrt_meta meta[] = {{"format", "pt"}, {"classes", "[\"caf\xc3\xa9\"]"}};
    struct vrt_tensors *t;
    struct vrt_error e;
    float back[24] = {0};
    (void)state;
    assert_true(vrt_tensors_save(path, params, 2, values, meta, 2, &e));
    assert_true(vrt_tensors_open(&t, path, &e));
    assert_true(load(t, params, 2, back, &e));
    assert_memory_equal(back, values, 24);
    assert_true(back[16] == 7.0f && back[17] == -8.0f);
    assert_string_equal(vrt_tensors_meta(t, "classes"), "[\"caf\xc3\xa9\"]");
    assert_null(vrt_tensors_meta(t, "nothing"));
    vrt_tensors_close(t);
    struct vrt_buffer b = read_bytes(path);
    assert_int_equal((b.size - 32) % 64, 0); /* the data begin at a multiple of 64 */
    vrt_buffer_free(&b);
}

/* A file with this header and that many bytes of data (0, 1, 2, ...). */
static const char *make_file(const char *header, size_t length, size_t data)
{
    const char *path = in_folder("made.safetensors");
    unsigned char bytes[4096] = {0};
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(length >> 8 * i);
    size_t n = strlen(header);
    memcpy(bytes + 8, header, n);
    for (size_t i = 0; i < data; i++)
        bytes[8 + n + i] = (unsigned char)i;
    write_bytes(path, bytes, 8 + n + data);
    return path;
}

static void converts_halves(void **state)
{
    static const struct vrt_param halves[] = {
        {"b", 1, VRT_INIT_ZERO, {2, 0, 0, 0}, 0, 2, 0, 0, 1, 0},
        {"h", 1, VRT_INIT_ZERO, {4, 0, 0, 0}, 8, 4, 0, 0, 1, 0},
    };
    static const char header[] =
        "{\"h\":{\"dtype\":\"F16\",\"shape\":[4],\"data_offsets\":[0,8]},"
        "\"b\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[8,12]}}";
    static const unsigned char data[] = {0x00, 0x3c, 0x00, 0xc0, 0x01, 0x00,
                                         0xff, 0x7b, 0x80, 0x3f, 0x20, 0xc1};
    unsigned char bytes[400] = {sizeof header - 1};
    struct vrt_tensors *t;
    struct vrt_error e;
    float got[6];
    (void)state;
    memcpy(bytes + 8, header, sizeof header - 1);
    memcpy(bytes + 8 + sizeof header - 1, data, sizeof data);
    write_bytes(in_folder("half.safetensors"), bytes, 8 + sizeof header - 1 + sizeof data);
    assert_true(vrt_tensors_open(&t, in_folder("half.safetensors"), &e));
    assert_true(load(t, halves, 2, got, &e));
    assert_true(got[0] == 1.0f && got[1] == -10.0f);
    assert_true(got[2] == 1.0f && got[3] == -2.0f && got[4] == 0x1p-24f && got[5] == 65504.0f);
    vrt_tensors_close(t);
}

/* NaN and infinity, in each type, at the first place and beyond what is read at once. */
static void refuses_what_is_not_finite(void **state)
{
    enum { N = 100000 };
    static const struct {
        const char *type, *name;
        size_t width;
        unsigned char bytes[4];
    } cases[] = {
        {"F32", "NaN", 4, {0, 0, 0xc0, 0x7f}}, {"F32", "infinity", 4, {0, 0, 0x80, 0xff}},
        {"F16", "NaN", 2, {0, 0x7e}},          {"F16", "infinity", 2, {0, 0x7c}},
        {"BF16", "NaN", 2, {0xc0, 0x7f}},      {"BF16", "infinity", 2, {0x80, 0x7f}},
    };
    static const size_t places[] = {0, 1023, 1024, 40000, N - 1};
    static const struct vrt_param row = {"x", 1, VRT_INIT_ZERO, {N, 0, 0, 0}, 0, N, 0, 0, 1, 0};
    static unsigned char bytes[N * 4 + 200];
    static float block[N];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t j = 0; j < sizeof places / sizeof *places; j++) {
            struct vrt_tensors *t;
            struct vrt_error e = {.text = ""};
            char expected[80];
            size_t width = cases[i].width;
            memset(bytes, 0, sizeof bytes);
            int n = snprintf((char *)bytes + 8, 200,
                             "{\"x\":{\"dtype\":\"%s\",\"shape\":[%d],\"data_offsets\":[0,%zu]}}",
                             cases[i].type, N, N * width);
            bytes[0] = (unsigned char)n;
            bytes[8 + n] = 0;
            memcpy(bytes + 8 + n + places[j] * width, cases[i].bytes, width);
            write_bytes(in_folder("nan.safetensors"), bytes, 8 + (size_t)n + N * width);
            assert_true(vrt_tensors_open(&t, in_folder("nan.safetensors"), &e));
            assert_false(load(t, &row, 1, block, &e));
            snprintf(expected, sizeof expected, "tensor x has a number that is not finite");
            assert_non_null(strstr(e.text, expected));
            snprintf(expected, sizeof expected, "at place %zu of", places[j]);
            assert_non_null(strstr(e.text, expected));
            assert_int_equal(e.code, VRT_BAD_INPUT);
            vrt_tensors_close(t);
        }
}

/* Another process cuts the file after it was opened: an error, no signal. */
static void survives_a_cut(void **state)
{
    static const struct vrt_param big = {"x", 1, VRT_INIT_ZERO, {100000, 0, 0, 0}, 0, 100000, 0, 0,
                                         1,   0};
    static float block[100000];
    const char *path = in_folder("cut.safetensors");
    struct vrt_tensors *t;
    struct vrt_error e = {.text = ""};
    (void)state;
    for (off_t left = 0; left < 400000; left += 70000) {
        assert_true(vrt_tensors_save(path, &big, 1, block, NULL, 0, &e));
        assert_true(vrt_tensors_open(&t, path, &e));
        assert_int_equal(truncate(path, left), 0);
        assert_false(load(t, &big, 1, block, &e));
        assert_non_null(strstr(e.text, "cut while in use"));
        assert_int_equal(e.code, VRT_BAD_INPUT);
        vrt_tensors_close(t);
    }
}

/* The name that a header has for itself. */
static void writes_no_tensor_called_metadata(void **state)
{
    static const struct vrt_param named[] = {
        {"a", 1, VRT_INIT_ZERO, {1, 0, 0, 0}, 0, 1, 0, 0, 1, 0},
        {"__metadata__", 1, VRT_INIT_ZERO, {1, 0, 0, 0}, 4, 1, 0, 0, 1, 0},
    };
    const float block[2] = {1, 2};
    struct vrt_error e = {.text = ""};
    (void)state;
    assert_false(vrt_tensors_save(in_folder("meta.safetensors"), named, 2, block, NULL, 0, &e));
    assert_int_equal(e.code, VRT_INTERNAL);
    assert_non_null(strstr(e.text, "a tensor is called __metadata__"));
    assert_int_not_equal(access(in_folder("meta.safetensors"), F_OK), 0);
}

#define ROW(name, shape, from, to) \
    "\"" name "\":{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":[" #from "," #to "]}"

static void refuses_broken_files(void **state)
{
    static const struct {
        const char *header, *expect;
        size_t data;
    } cases[] = {
        {"{" ROW("a", "[2]", 0, 8) "," ROW("b", "[2]", 4, 12) "}", "overlaps", 12},
        {"{" ROW("a", "[2]", 0, 8) "," ROW("b", "[2]", 0, 8) "}", "overlaps", 8},
        {"{" ROW("a", "[2]", 0, 8) "," ROW("b", "[2]", 12, 20) "}", "gap", 20},
        {"{" ROW("a", "[2]", 4, 12) "}", "gap", 12},
        {"{" ROW("a", "[2]", 0, 8) "}", "behind the end", 7},
        {"{" ROW("a", "[2]", 0, 8) "}", "too many", 9},
        {"{" ROW("a", "[3]", 0, 8) "}", "does not fit", 8},
        {"{" ROW("a", "[2]", 8, 0) "}", "data_offsets", 8},
        {"{" ROW("a", "[-2]", 0, 8) "}", "impossible shape", 8},
        {"{" ROW("a", "[4611686018427387904,4,2]", 0, 8) "}", "impossible shape", 8},
        {"{" ROW("a", "[1,1,1,1,1,1,1,1,2]", 0, 8) "}", "more than 8", 8},
        {"{" ROW("a", "[2.0]", 0, 8) "}", "impossible shape", 8},
        {"{" ROW("a", "[2]", 0, 8) "," ROW("a", "[2]", 8, 16) "}", "no valid JSON", 16},
        {"{\"a\":{\"dtype\":\"F99\",\"shape\":[2],\"data_offsets\":[0,8]}}", "dtype", 8},
        {"{\"a\":[1,2]}", "dtype", 0},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}}", "data_offsets", 8},
        {"{\"__metadata__\":3}", "__metadata__", 0},
        {"{\"a\":", "no valid JSON", 0},
        {"[1,2,3]", "not a safetensors file", 0},
        {"{}", "too many", 4},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct vrt_tensors *t;
        struct vrt_error e = {.text = ""};
        const char *path = make_file(cases[i].header, strlen(cases[i].header), cases[i].data);
        assert_false(vrt_tensors_open(&t, path, &e));
        if (strstr(e.text, cases[i].expect) == NULL)
            fail_msg("%s: %s", cases[i].header, e.text);
    }
}

static void refuses_other_files(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
        const char *expect;
    } cases[] = {
        {"", 0, "not a safetensors file"},
        {"\1\0\0\0\0\0\0\0{", 9, "not a safetensors file"},
        {"\377\377\377\377\377\377\377\377{}", 10, "not a safetensors file"},
        {"PK\3\4 archive", 12, "pickle"},
        {"\x80\2}q\0.", 6, "pickle"},
        {"\x80\4\x95", 4, "torch.load"},
        {"GGUF12345678", 12, "not a safetensors file"},
    };
    struct vrt_tensors *t;
    struct vrt_error e;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_bytes(in_folder("other"), cases[i].bytes, cases[i].size);
        assert_false(vrt_tensors_open(&t, in_folder("other"), &e));
        assert_non_null(strstr(e.text, cases[i].expect));
    }
    assert_false(vrt_tensors_open(&t, in_folder("missing"), &e));
    assert_false(vrt_tensors_open(&t, folder, &e));
}

static void names_other_models(void **state)
{
    static const char header[] =
        "{" ROW("a.weight", "[3,2]", 0, 24) "," ROW("b.bias", "[2]", 24, 32) "}";
    struct vrt_tensors *t;
    struct vrt_error e;
    float back[24] = {42};
    (void)state;
    assert_true(vrt_tensors_open(&t, make_file(header, sizeof header - 1, 32), &e));
    assert_false(load(t, params, 2, back, &e));
    assert_non_null(strstr(e.text, "missing (1): a.bias"));
    assert_non_null(strstr(e.text, "not of this model (1): b.bias"));
    assert_non_null(strstr(e.text, "other shape (1): a.weight (3,2) not (2,3)"));
    assert_true(back[0] == 42.0f);
    vrt_tensors_close(t);
}

static void names_few_of_many(void **state)
{
    static char names[300][120];
    struct vrt_param many[300];
    struct vrt_tensors *t;
    struct vrt_error e;
    char text[8];
    (void)state;
    for (int i = 0; i < 300; i++) {
        snprintf(names[i], sizeof names[i], "%0*d.weight", i % 2 ? 100 : 3, i);
        many[i] = (struct vrt_param){names[i], 1, VRT_INIT_ZERO, {1, 0, 0, 0}, 0, 1, 0, 0, 1, 0};
    }
    assert_true(vrt_tensors_open(&t, make_file("{}", 2, 0), &e));
    assert_false(load(t, many, 300, text, &e));
    assert_non_null(strstr(e.text, "missing (300): 000.weight"));
    assert_non_null(strstr(e.text, "more"));
    vrt_tensors_close(t);
}

/* Every flip of a byte of the header either leaves a sound file or is refused; nothing may
 * crash. */
static void survives_mutations(void **state)
{
    const char *path = in_folder("w.safetensors"), *broken = in_folder("broken.safetensors");
    struct vrt_buffer b = read_bytes(path);
    struct vrt_error e;
    float back[24];
    (void)state;
    for (size_t i = 0; i < b.size - 32; i++)
        for (int bit = 0; bit < 8; bit += 3) {
            struct vrt_tensors *t;
            b.data[i] ^= (uint8_t)(1 << bit);
            write_bytes(broken, b.data, b.size);
            if (vrt_tensors_open(&t, broken, &e)) {
                load(t, params, 2, back, &e);
                vrt_tensors_close(t);
            }
            b.data[i] ^= (uint8_t)(1 << bit);
        }
    for (size_t n = 0; n < b.size; n += 3) {
        struct vrt_tensors *t;
        write_bytes(broken, b.data, n);
        assert_false(vrt_tensors_open(&t, broken, &e));
    }
    vrt_buffer_free(&b);
}

/* A disk that is full after 1000 bytes: an error, the old file whole, no temporary one left. */
static void keeps_the_old_file(void **state)
{
    static float large[2][1000];
    static const struct vrt_param big[] = {
        {"x", 1, VRT_INIT_ZERO, {1000, 0, 0, 0}, 0, 1000, 0, 0, 1, 0}};
    const char *path = in_folder("w.safetensors");
    struct rlimit old, small;
    struct vrt_error e = {.text = ""};
    char command[600];
    (void)state;
    struct vrt_buffer before = read_bytes(path);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    small = (struct rlimit){1000, old.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    bool saved = vrt_tensors_save(path, big, 1, large, NULL, 0, &e);
    struct vrt_state_block block = {large, sizeof large};
    bool state_saved = vrt_state_save(folder, 8, "{}", &block, 1, &e);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_false(saved);
    assert_false(state_saved);
    struct vrt_buffer after = read_bytes(path);
    assert_int_equal(after.size, before.size);
    assert_memory_equal(after.data, before.data, before.size);
    snprintf(command, sizeof command, "! ls '%s' | grep -q tmp", folder);
    assert_int_equal(system(command), 0);
    vrt_buffer_free(&before);
    vrt_buffer_free(&after);
}

static void save_number(const char *where, uint64_t sequence, const char *text)
{
    uint64_t data[2] = {sequence, ~sequence};
    struct vrt_state_block blocks[] = {{data, sizeof data}, {data, 0}};
    struct vrt_error e;
    assert_true(vrt_state_save(where, sequence, text, blocks, 2, &e));
}

static uint64_t load_number(const char *where, char *note, size_t size)
{
    uint64_t data[2] = {0, 0};
    struct vrt_state_block blocks[] = {{data, sizeof data}, {data, 0}};
    struct vrt_state *s;
    struct vrt_error e;
    assert_true(vrt_state_open(&s, where, UINT64_MAX, note, size, &e));
    if (s == NULL)
        return 0;
    assert_true(vrt_state_read(s, blocks, 2, &e));
    assert_true(data[0] == vrt_state_sequence(s) && data[1] == ~data[0]);
    assert_false(vrt_state_read(s, blocks, 1, &e));
    assert_string_equal(vrt_state_text(s), "{\"step\":3}");
    vrt_state_close(s);
    return data[0];
}

static void takes_the_newest_state(void **state)
{
    char note[600], where[600];
    (void)state;
    snprintf(where, sizeof where, "%s", in_folder("state"));
    assert_int_equal(mkdir(where, 0777), 0);
    assert_int_equal(load_number(where, note, sizeof note), 0);
    for (uint64_t i = 1; i <= 3; i++) {
        save_number(where, i, "{\"step\":3}");
        assert_int_equal(load_number(where, note, sizeof note), i);
        assert_string_equal(note, "");
    }
}

/* Whichever bit of the newest state flips, and wherever it is cut off, the older one serves. */
static void falls_back_to_the_older_state(void **state)
{
    char note[600], where[600], newest[700];
    struct vrt_state *s;
    struct vrt_error e;
    (void)state;
    snprintf(where, sizeof where, "%s", in_folder("state"));
    snprintf(newest, sizeof newest, "%s/1.state", where);
    struct vrt_buffer b = read_bytes(newest);
    for (size_t i = 0; i < b.size; i++) {
        b.data[i] ^= 4;
        write_bytes(newest, b.data, b.size);
        assert_int_equal(load_number(where, note, sizeof note), 2);
        assert_non_null(strstr(note, "damaged"));
        b.data[i] ^= 4;
        write_bytes(newest, b.data, i);
        assert_int_equal(load_number(where, note, sizeof note), 2);
    }
    unlink(newest);
    assert_int_equal(mkdir(newest, 0777),
                     0); /* cannot be opened: no reason to take the older one */
    assert_false(vrt_state_open(&s, where, UINT64_MAX, note, sizeof note, &e));
    assert_non_null(strstr(e.text, "1.state: it is not a regular file"));
    assert_int_equal(rmdir(newest), 0);
    write_bytes(newest, b.data, b.size);
    assert_int_equal(load_number(where, note, sizeof note), 3);
    write_bytes(newest, "x", 1);
    snprintf(newest, sizeof newest, "%s/0.state", where);
    write_bytes(newest, "x", 1);
    assert_false(vrt_state_open(&s, where, UINT64_MAX, note, sizeof note, &e));
    assert_null(s);
    vrt_buffer_free(&b);
}

/* What manifest.json says is held against what is there. */
static void believes_the_manifest(void **state)
{
    char note[600], where[600], path[3][700];
    (void)state;
    snprintf(where, sizeof where, "%s", in_folder("listed"));
    assert_int_equal(mkdir(where, 0777), 0);
    for (int i = 0; i < 3; i++)
        snprintf(path[i], sizeof path[i], "%s/%s", where,
                 i == 0   ? "0.state"
                 : i == 1 ? "1.state"
                          : "manifest.json");
    for (uint64_t i = 1; i <= 2; i++)
        save_number(where, i, "{\"step\":3}");
    struct vrt_buffer older = read_bytes(path[0]), list = read_bytes(path[2]);
    assert_non_null(strstr((char *)list.data,
                           "\"file\": \"0.state\",\n      \"sequence\": 2,\n      \"step\": 3,"));
    for (uint64_t i = 3; i <= 4; i++)
        save_number(where, i, "{\"step\":3}");
    struct vrt_buffer newest = read_bytes(path[0]), now = read_bytes(path[2]);
    write_bytes(path[0], older.data,
                older.size); /* sound, but an older one has come back under its name */
    assert_int_equal(load_number(where, note, sizeof note), 3);
    assert_non_null(strstr(
        note, "0.state, of step 3, is damaged (it is not the one that manifest.json names)"));
    unlink(path[0]);
    assert_int_equal(load_number(where, note, sizeof note), 3);
    assert_non_null(strstr(note, "is gone"));
    write_bytes(path[0], newest.data, newest.size);
    assert_int_equal(load_number(where, note, sizeof note), 4);
    assert_string_equal(note, "");
    write_bytes(path[2], list.data, list.size); /* killed before the list was written */
    assert_int_equal(load_number(where, note, sizeof note), 4);
    assert_string_equal(note, "");
    for (size_t i = 0; i < now.size - 2;
         i++) { /* a list that is cut off is told, and no reason to stop */
        write_bytes(path[2], now.data, i);
        assert_int_equal(load_number(where, note, sizeof note), 4);
        assert_non_null(strstr(note, "manifest.json is damaged"));
    }
    unlink(path[2]);
    assert_int_equal(load_number(where, note, sizeof note), 4);
    assert_string_equal(note, "");
    vrt_buffer_free(&older);
    vrt_buffer_free(&list);
    vrt_buffer_free(&newest);
    vrt_buffer_free(&now);
}

static void cuts_metrics(void **state)
{
    const struct vrt_step_record step = {1, 1, 2.5, 0.0, 1e-3, NAN, 10.0};
    const struct vrt_epoch_record epoch = {1,    1, 1e-3, 2.5, 0.0, 10.0, 1.0, {4, 2, 3, 6.0, 0},
                                           NULL, 0, NULL};
    struct vrt_metrics m;
    struct vrt_error e;
    bool lost;
    (void)state;
    assert_true(vrt_metrics_open(&m, folder, 0, 0, &lost, &e));
    assert_true(vrt_metrics_step(&m, &step, &e));
    int64_t jsonl = m.jsonl_bytes, csv = m.csv_bytes;
    assert_true(vrt_metrics_step(&m, &step, &e) && vrt_metrics_epoch(&m, &epoch, &e) &&
                vrt_metrics_sync(&m, &e));
    vrt_metrics_close(&m);
    assert_true(vrt_metrics_open(&m, folder, jsonl, csv, &lost, &e));
    assert_false(lost);
    assert_true(vrt_metrics_epoch(&m, &epoch, &e));
    vrt_metrics_close(&m);
    struct vrt_buffer b = read_bytes(in_folder("metrics.jsonl"));
    assert_string_equal(
        (char *)b.data,
        "{\"step\":1,\"epoch\":1,\"loss\":2.5,\"balance_loss\":0,\"lr\":0.001,\"grad_norm\":null,"
        "\"img_per_s\":10.0}\n{\"eval\":\"val\",\"step\":1,\"epoch\":1,\"images\":4,\"top1\":2,"
        "\"top5\":3,"
        "\"loss\":1.5,\"train_loss\":2.5,\"balance_loss\":0,\"lr\":0.001,\"img_per_s\":10.0,"
        "\"seconds\":1.0,\"moe\":[]}\n");
    vrt_buffer_free(&b);
    assert_true(vrt_metrics_open(&m, folder, 1 << 20, csv, &lost, &e));
    assert_true(lost);
    vrt_metrics_close(&m);
}

static void counts_hits(void **state)
{
    static const float logits[] = {1, 1, 0, 0, 0, 0, 0, 1,   1, 0, 0, 0, 0, 0,
                                   0, 0, 0, 0, 0, 0, 0, NAN, 1, 2, 3, 4, 5, 6};
    static const int32_t labels[] = {0, 1, 5, 6};
    struct vrt_score s = {0};
    (void)state;
    vrt_score_add(&s, logits, labels, 1, 7);
    assert_true(s.top1 == 1 && s.top5 == 1);
    assert_float_equal(s.loss, log(2.0 * exp(1.0) + 5.0) - 1.0, 1e-12);
    vrt_score_add(&s, logits + 7, labels + 1, 1, 7);
    assert_true(s.top1 == 1 && s.top5 == 2); /* equal, and index 0 comes first */
    vrt_score_add(&s, logits + 14, labels + 2, 1, 7);
    assert_true(s.top1 == 1 && s.top5 == 2); /* five equal ones before it */
    vrt_score_add(&s, logits + 21, labels + 3, 1, 7);
    assert_true(s.top1 == 1 && s.top5 == 3 && s.images == 4 && isnan(s.loss));
}

static const char *class_name(const void *data, int64_t c)
{
    return ((const char *const *)data)[c];
}

/* The buffer holds this text, and is empty again. */
static void is_text(struct vrt_buffer *b, const char *text)
{
    assert_int_equal(b->size, strlen(text));
    assert_memory_equal(b->data, text, b->size);
    vrt_buffer_free(b);
}

/* Intervals: 8 of 10 from R's binom.confint(method = "wilson"), 0 and 20 of 20 by z^2 / (n +
 * z^2). */
static void judges_pictures(void **state)
{
    static const float logits[] = {3, 1, 0, 1, 1, 0, 0, 0, 2, NAN, 1, 2};
    static const int32_t labels[] = {0, 1, 1, 2};
    static const char *const names[] = {"plain", "a, \"b\"", "c"};
    struct vrt_verdict v[4], more[20];
    struct vrt_buffer b = {0};
    struct vrt_error e;
    double low, high;
    (void)state;
    vrt_verdicts(v, logits, labels, 4, 3);
    assert_true(v[0].predicted == 0 && v[0].rank == 0 && v[1].predicted == 0 && v[1].rank == 1 &&
                v[2].predicted == 2 && v[2].rank == 2);
    assert_true(v[3].predicted == 0 && v[3].rank == 1 && v[3].confidence == 0.0f);
    assert_float_equal(v[0].confidence, 1 / (1 + exp(-2) + exp(-3)), 1e-7);
    vrt_interval(8, 10, &low, &high);
    assert_float_equal(low, 0.4901625, 1e-7);
    assert_float_equal(high, 0.9433178, 1e-7);
    vrt_interval(0, 20, &low, &high);
    assert_true(low == 0.0 && fabs(high - 0.16112516) < 1e-7);
    vrt_interval(20, 20, &low, &high);
    assert_true(high == 1.0 && fabs(low - 0.83887484) < 1e-7);
    /* 10 of 0.9 with 7 hits, 10 of 0.3 with 5: 10/20 |0.7 - 0.9| + 10/20 |0.5 - 0.3|. */
    for (int i = 0; i < 20; i++)
        more[i] = (struct vrt_verdict){1, i < 7 || (i >= 10 && i < 15), 0, i < 10 ? 0.9f : 0.3f};
    assert_float_equal(vrt_calibration_error(more, 20), 0.2, 1e-6);
    assert_true(vrt_put_classes(&b, v, 4, 3, class_name, names, &e));
    is_text(&b, "class,images,top1,top5,predicted\nplain,1,1,1,3\n\"a, \"\"b\"\"\",2,0,2,0\n"
                "c,1,0,1,1\n");
    assert_true(vrt_put_confusion(&b, v, 4, class_name, names, &e));
    is_text(&b, "class,predicted,images\nplain,plain,1\n\"a, \"\"b\"\"\",plain,1\n"
                "\"a, \"\"b\"\"\",c,1\nc,plain,1\n");
}

/* What a reader makes of a cell of text, as put.h has it. */
static void read_cell(const char *cell, size_t size, char *name)
{
    const char *end = cell + size;
    bool quoted = size > 0 && *cell == '"';
    cell += quoted;
    end -= quoted;
    cell += cell < end && *cell == '\'';
    while (cell < end) {
        cell += quoted && *cell == '"';
        *name++ = *cell++;
    }
    *name = '\0';
}

static void guards_cells(void **state)
{
    static const char *const names[] = {
        "",       "plain", "=1+1", "+1",   "-1",   "@SUM(A1)", "\t=1", "\r=1",
        "\n=1",   "'",     "'it",  "''=1", "it's", "=a,\"b\"", "a;=1", "a\t=1",
        "\"=1\"", "'\"",   "\xff", "-",    "a=1",  "=1\n,'",   "#",    "1",
    };
    struct vrt_error e;
    char back[40];
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct vrt_buffer b = {0};
        assert_true(vrt_put_field(&b, names[i], &e) && vrt_buffer_append(&b, "", 1, &e));
        const char *cell = (const char *)b.data, *bare = cell + (*cell == '"');
        assert_true(*bare == '\0' || strchr("=+-@\t\r\n", *bare) == NULL);
        assert_true(bare > cell || cell[strcspn(cell, ",;\t\r\n\"")] == '\0');
        read_cell(cell, b.size - 1, back);
        assert_string_equal(back, names[i]);
        vrt_buffer_free(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_weights),
        cmocka_unit_test(converts_halves),
        cmocka_unit_test(refuses_what_is_not_finite),
        cmocka_unit_test(survives_a_cut),
        cmocka_unit_test(writes_no_tensor_called_metadata),
        cmocka_unit_test(refuses_broken_files),
        cmocka_unit_test(refuses_other_files),
        cmocka_unit_test(names_other_models),
        cmocka_unit_test(names_few_of_many),
        cmocka_unit_test(survives_mutations),
        cmocka_unit_test(keeps_the_old_file),
        cmocka_unit_test(takes_the_newest_state),
        cmocka_unit_test(falls_back_to_the_older_state),
        cmocka_unit_test(believes_the_manifest),
        cmocka_unit_test(cuts_metrics),
        cmocka_unit_test(counts_hits),
        cmocka_unit_test(judges_pictures),
        cmocka_unit_test(guards_cells),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    cmocka_run_group_tests_name("io", tests, make_folder, remove_folder);
    return 0;
}
