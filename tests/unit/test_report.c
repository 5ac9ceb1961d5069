/* The report of a run: reading its files, thinning, escaping, the page as a whole, and the
 * TensorBoard file, which a reader of this file's own takes apart again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <glob.h>

#include <cmocka.h>

#include "runtime/base/file.h"
#include "runtime/report/crc32c.h"
#include "runtime/report/events.h"
#include "runtime/report/layers.h"
#include "runtime/report/page.h"
#include "runtime/report/plot.h"
#include "tests/unit/fixture.h"
#include "tests/unit/strict_page.h"

static const char *in_folder(const char *name)
{
    static char text[512];
    snprintf(text, sizeof text, "%s/%s", folder, name);
    return text;
}

/* With ' for ", so that JSON can be read here. */
static void write_json(const char *name, const char *text)
{
    struct vrt_error e;
    char *copy = strdup(text);
    for (char *at = copy; *at != '\0'; at++)
        *at = *at == '\'' ? '"' : *at;
    assert_true(vrt_file_write(in_folder(name), copy, strlen(copy), &e));
    free(copy);
}

static const char run_json[] =
    "{'model':'m<&\\u0022\\u0027>','spec_hash':'abc','started':'2026-01-02T03:04:05Z','command':['."
    "/m','it\\u0027s'],"
    "'host':{'name':'a "
    "b/c','system':'s','machine':'x','processors':2},'threads':2,'images_per_call':4,"
    "'keys':{'train.epochs':'3 "
    "epochs','train.batch':8,'train.seed':0,'data.root':'/"
    "d<script>','data.train':'t','data.val':'v'},"
    "'data':{'pictures':16,'classes':'x'}}";

static const char metrics[] =
    "{'step':1,'epoch':1,'loss':2.5,'balance_loss':0.25,'lr':0.001,'grad_norm':null,'img_per_s':16."
    "0}\n"
    "{'step':2,'epoch':1,'loss':1.5e0,'balance_loss':0.125,'lr':1e-05,'grad_norm':3,'img_per_s':4."
    "0}\n"
    "{'eval':'val','step':2,'epoch':1,'images':8,'top1':2,'top5':6,'loss':1.75,'train_loss':2,'"
    "balance_loss':0.1,'lr':1e-05,"
    "'img_per_s':8,'seconds':2.5,'moe':[{'layer':'a[1].mlp','load':[0.5,0.48,0.02],'dropped':0.25,'"
    "entropy':1.0}]}\n"
    "{'warning':'a <b> & \\u0022c\\u0022','step':2,'epoch':1}\n"
    "no line of ours\n"
    "{'step':3,'epoch':2,'loss':1.25,'balance_loss':0.125,'lr':0.5,'grad_norm':2,'img_per_s':8.0}\n"
    "{'eval':'other','step':3,'epoch':2,'images':8,'top1':8,'top5':8}\n"
    "{'eval':'val','step':4,'epoch':2,'images':8,'top1':4,'top5':8,'loss':1.5,'train_loss':1.2,'"
    "balance_loss':0.1,'lr':0.5,"
    "'img_per_s':8,'seconds':2.5,'moe':[{'layer':'a[1].mlp','load':[0.6,0.39,0.01],'dropped':0,'"
    "entropy':null}]}\n"
    "{'step':5,'epoch':3,'loss':1.0,'bala";

static const char analysis[] =
    "{'epoch':2,'step':4,'images':8,'top1':4,'top5':8,'loss':1.5,"
    "'calibration':{'error':0.1,'bins':[{'images':8,'confidence':5.5,'hits':4},{'images':0,'"
    "confidence':0,'hits':0}]},"
    "'classes':[{'name':'<i>','images':4,'top1':1,'top5':4},{'name':'b&\\u0001','images':4,'top1':"
    "3,'top5':4}],"
    "'confused':[{'true':0,'predicted':1,'count':3},{'true':99,'predicted':-1,'count':1}],"
    "'moe':[{'layer':'a[1].mlp','entropy':1.0,'load':[0.5,0.5,0],'classes':[[1,9,0],[6,2,0]]}]}";

static struct vrt_history read_history(void)
{
    struct vrt_history h;
    struct vrt_error e;
    assert_true(vrt_history_read(&h, folder, &e));
    return h;
}

static void test_history(void **state)
{
    (void)state;
    struct vrt_error e;
    write_json("run.json", run_json);
    write_json("metrics.jsonl", metrics);
    struct vrt_history h = read_history();
    assert_int_equal(h.nsteps, 3);  /* the torn line is not there */
    assert_int_equal(h.nepochs, 2); /* nor the other evaluation */
    assert_int_equal(json_array_size(h.warnings), 1);
    assert_true(isnan(h.steps[0].norm));
    assert_true(h.steps[1].loss == 1.5 && h.steps[1].lr == 1e-5 && h.steps[1].speed == 4 &&
                h.steps[2].epoch == 2);
    assert_int_equal(h.epochs[0].steps_before, 2);
    assert_int_equal(vrt_history_best(&h), 1);
    assert_true(vrt_history_epoch_steps(&h) == 2);
    assert_true(vrt_history_key(&h, "train.epochs") == 3 &&
                isnan(vrt_history_key(&h, "train.ema")));
    assert_true(vrt_history_started(&h) == 1767323045);
    struct vrt_layer l;
    assert_true(vrt_layer_read(&l, &h, json_array_get(vrt_layer_list(&h), 0), &e));
    assert_true(l.n == 2 && l.experts == 3 && l.load[2 * 2 + 1] == 0.01 && isnan(l.entropy[1]));
    assert_true(vrt_layer_dead_since(&l, 2) == 1 &&
                vrt_layer_dead_since(&l, 1) == 0); /* 0.02 and 0.01 are below 1/30 */
    vrt_layer_free(&l);
    vrt_history_free(&h);
    assert_false(vrt_history_read(&h, "/nowhere", &e));
    vrt_history_free(&h);
}

static void test_meeting(void **state)
{
    (void)state;
    struct vrt_error e;
    struct vrt_meeting t;
    write_json("analysis.json", analysis);
    struct vrt_history h = read_history();
    assert_true(vrt_meeting_read(&t, &h, "a[1].mlp", &e));
    assert_true(t.classes == 2 && t.experts == 3);
    assert_true(t.order[0] == 1 && t.order[1] == 0); /* class 1 is expert 0's, class 0 expert 1's */
    assert_true(t.share[0] == 0.75 && t.share[1] == 0.1 && t.share[2] == 0.25 &&
                t.share[3] == 0.9 && t.share[5] == 0);
    vrt_meeting_free(&t);
    assert_true(vrt_meeting_read(&t, &h, "b", &e));
    assert_int_equal(t.classes, 0);
    vrt_meeting_free(&t);
    vrt_history_free(&h);
}

static void test_thin(void **state)
{
    (void)state;
    enum { N = 100003 };
    double *x = calloc(2 * N, sizeof *x), *y = x + N, sum = 0, all = 0;
    struct vrt_thin *t = malloc(sizeof *t);
    for (int i = 0; i < N; i++) {
        x[i] = i;
        y[i] = 1 + i % 7;
        all += y[i];
    }
    y[77777] = 1000;
    y[55] = -3;
    y[900] = NAN;
    all += 1000 - (1 + 77777 % 7) - 3 - (1 + 55 % 7) - (1 + 900 % 7);
    vrt_thin(t, x, y, 1, N);
    double low = INFINITY, high = -INFINITY;
    for (size_t i = 0; i < t->n; i++) {
        size_t first = i * N / t->n, end = (i + 1) * N / t->n,
               numbers = end - first - (first <= 900 && 900 < end);
        low = fmin(low, t->low[i]);
        high = fmax(high, t->high[i]);
        sum += t->mean[i] * (double)numbers;
        assert_true(t->low[i] <= t->mean[i] && t->mean[i] <= t->high[i]);
        assert_true(i == 0 || t->x[i] > t->x[i - 1]);
    }
    assert_true(t->n == VRT_POINTS && !t->whole && low == -3 && high == 1000);
    assert_true(fabs(sum - all) < 1e-6 * all);
    vrt_thin(t, x, y, 1, 5);
    assert_true(t->n == 5 && t->whole && t->mean[3] == y[3] && t->low[3] == y[3]);
    free(t);
    free(x);
}

static void test_escape(void **state)
{
    (void)state;
    struct vrt_error e;
    struct vrt_markup m = {.e = &e};
    vrt_html_text(&m, "<a href='x'>&\"\t\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80 \x01 \xff \xc0\xaf "
                      "\xed\xa0\x80 \xe2\x82 \xc2\x80.");
    static const char wanted[] =
        "&lt;a href=&#39;x&#39;&gt;&amp;&quot;\t\xc3\xa4 \xe2\x82\xac "
        "\xf0\x9f\x98\x80 \\x01 \\xff \\xc0\\xaf \\xed\\xa0\\x80 \\xe2\\x82 \\u0080.";
    assert_int_equal(m.b.size, sizeof wanted - 1);
    assert_memory_equal(m.b.data, wanted, m.b.size);
    vrt_buffer_free(&m.b);
}

static void test_numbers(void **state)
{
    (void)state;
    vrt_number t;
    assert_string_equal(vrt_count_text(t, 1281167), "1,281,167");
    assert_string_equal(vrt_count_text(t, -1000), "-1,000");
    assert_string_equal(vrt_count_text(t, 999), "999");
    assert_string_equal(vrt_count_text(t, NAN), "–");
    assert_string_equal(vrt_short_text(t, 22050664), "22.1 M");
    assert_string_equal(vrt_value_text(t, 0.5), "0.500");
    assert_string_equal(vrt_value_text(t, 12.345), "12.35");
    assert_string_equal(vrt_value_text(t, 1e-6), "1.00e-06");
    assert_string_equal(vrt_value_text(t, INFINITY), "–");
    assert_string_equal(vrt_percent_text(t, 1, 3), "33.33");
    assert_string_equal(vrt_seconds_text(t, 3725), "1 h 2 min");
    assert_string_equal(vrt_clock_text(t, 1767323045), "2026-01-02 03:04 UTC");
}

/* -- the page -- */

static struct vrt_buffer make_page(const char *info)
{
    struct vrt_history h = read_history();
    struct vrt_error e = {.text = ""};
    struct vrt_report r = {folder, &h, VRT_RUN_STOPPED, 1767323045, "text of <info>", info};
    struct vrt_buffer b = {0};
    size_t at = 0;
    assert_true(vrt_report_write(&r, &e));
    assert_true(vrt_file_read(in_folder("report.html"), 1 << 24, &b, &e));
    const char *fault = strict_page_fault((const char *)b.data, &at);
    if (fault != NULL)
        fail_msg("byte %zu: %s: %.80s", at, fault, (const char *)b.data + at);
    vrt_history_free(&h);
    return b;
}

static void assert_says(const struct vrt_buffer *b, const char *text, bool does)
{
    if ((strstr((const char *)b->data, text) != NULL) != does)
        fail_msg("the page %s: %s", does ? "does not say" : "says", text);
}

static void test_page(void **state)
{
    static const char info[] =
        "{\"spec_hash\":\"abc\",\"params_total\":1234567,\"params_active\":1000,\"macs\":5,"
        "\"layers\":[{\"name\":\"stem<\",\"output\":[4,8],\"params\":10,\"macs\":20}]}";
    (void)state;
    write_json("spec.vmoe", "model <m> & more\n");
    struct vrt_buffer b = make_page(info);
    assert_says(&b, "m&lt;&amp;&quot;&#39;&gt;</h1>", true);
    assert_says(&b, "epoch 2 of 3", true);
    assert_says(&b, "50.00<small> %", true); /* best: 4 of 8, with Wilson's interval */
    assert_says(&b, "95 % interval 21.52–78.48", true);
    assert_says(&b, "a &lt;b&gt; &amp; &quot;c&quot;", true);
    assert_says(&b, "&#39;it&#39;\\&#39;&#39;s&#39;", true); /* as a shell takes it */
    assert_says(&b, "expert 2 (since epoch 1)", true);
    assert_says(&b, "1.23 M", true);
    assert_says(&b, "Expected calibration error 10.00 %", true);
    assert_says(&b, "model &lt;m&gt; &amp; more", true);
    assert_says(&b, "<b>", true);
    assert_says(&b, "<i>", false);
    assert_says(&b, "missing", false);
    vrt_buffer_free(&b);
    b = make_page("{\"spec_hash\":\"another\",\"params_total\":1234567}");
    assert_says(&b, "1.23 M", false);
    assert_says(&b, "is not the one of this run", true);
    vrt_buffer_free(&b);
}

/* Each file on its own may be missing, empty or damaged: there is a page all the same, and it says
 * so. */
static void test_missing(void **state)
{
    static const char *const names[] = {"run.json", "metrics.jsonl", "analysis.json", "spec.vmoe"};
    static const char *const texts[] = {run_json, metrics, analysis, "model m\n"};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(unlink(in_folder(names[i])), 0);
        struct vrt_buffer b = make_page(NULL);
        char said[80];
        snprintf(said, sizeof said, "%s is missing", names[i]);
        assert_says(&b, said, true);
        vrt_buffer_free(&b);
        struct vrt_history h;
        struct vrt_error e;
        assert_int_equal(mkdir(in_folder(names[i]), 0777), 0);
        assert_false(vrt_history_read(&h, folder, &e));
        assert_non_null(strstr(e.text, names[i]));
        vrt_history_free(&h);
        assert_int_equal(rmdir(in_folder(names[i])), 0);
        for (size_t cut = 0; cut < strlen(texts[i]); cut += 7) {
            char *part = strndup(texts[i], cut);
            write_json(names[i], part);
            b = make_page(NULL);
            vrt_buffer_free(&b);
            free(part);
        }
        write_json(names[i], texts[i]);
    }
    write_json("analysis.json",
               "{'classes':[1,{'name':5},{}],'confused':[{},7],'calibration':{'bins':[1,{},"
               "{'images':1e-300,'confidence':1e8,'hits':-1e8}]},"
               "'moe':[{'layer':'x','load':[]},3,{'load':{}}]}");
    write_json("metrics.jsonl",
               "{'step':1,'epoch':1e308,'loss':-1e308,'lr':1e308}\n{'step':1e308,'loss':1e308}\n"
               "{'eval':'val','epoch':-1,'images':-5,'top1':1e300,'moe':[4,{'layer':'x','load':['a'"
               ",2]}]}\n");
    struct vrt_buffer b = make_page(NULL);
    vrt_buffer_free(&b);
    write_json("analysis.json", analysis);
    write_json("metrics.jsonl", metrics);
}

/* -- the event file -- */

static uint32_t slow_crc(const uint8_t *s, size_t n)
{
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < n; i++)
        for (int bit = 0; bit < 8; bit++) {
            uint32_t low = (crc ^ (uint32_t)(s[i] >> bit)) & 1;
            crc = (crc >> 1) ^ (low ? 0x82f63b78 : 0);
        }
    return crc ^ 0xffffffff;
}

static void test_crc(void **state)
{
    (void)state;
    uint8_t bytes[32];
    assert_int_equal(vrt_crc32c("123456789", 9), 0xe3069283);
    memset(bytes, 0, 32);
    assert_int_equal(vrt_crc32c(bytes, 32), 0x8a9136aa); /* RFC 3720, B.4 */
    memset(bytes, 0xff, 32);
    assert_int_equal(vrt_crc32c(bytes, 32), 0x62a8ab43);
    for (int i = 0; i < 32; i++)
        bytes[i] = (uint8_t)i;
    assert_int_equal(vrt_crc32c(bytes, 32), 0x46dd794e);
    for (size_t n = 0; n <= 32; n++)
        assert_int_equal(vrt_crc32c(bytes, n), slow_crc(bytes, n));
}

struct scalar {
    double wall_time;
    uint64_t step;
    char tag[64];
    float value;
};
struct events {
    struct scalar s[64];
    size_t n;
    bool version;
};

static uint64_t little(const uint8_t *s, int n)
{
    uint64_t v = 0;
    for (int i = n; i > 0; i--)
        v = v << 8 | s[i - 1];
    return v;
}

static uint64_t get_varint(const uint8_t **s)
{
    uint64_t v = 0;
    for (int shift = 0;; shift += 7) {
        uint8_t byte = *(*s)++;
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return v;
    }
}

/* A message, field by field; a summary and its values are messages of the same kind. */
static void get_message(struct events *v, struct scalar *now, const uint8_t *s, const uint8_t *end,
                        int level)
{
    while (s < end) {
        uint64_t key = get_varint(&s), bits, size;
        uint32_t field = (uint32_t)(key >> 3), kind = key & 7;
        if (kind == 0) {
            assert_true(level == 0 && field == 2);
            now->step = get_varint(&s);
        } else if (kind == 1) {
            assert_true(level == 0 && field == 1);
            bits = little(s, 8);
            memcpy(&now->wall_time, &bits, 8);
            s += 8;
        } else if (kind == 5) {
            uint32_t word = (uint32_t)little(s, 4);
            assert_true(level == 2 && field == 2);
            memcpy(&now->value, &word, 4);
            s += 4;
            v->s[v->n++] = *now;
        } else {
            assert_int_equal(kind, 2);
            size = get_varint(&s);
            assert_true(s + size <= end);
            if (level == 0 && field == 3)
                v->version = size == 13 && memcmp(s, "brain.Event:2", 13) == 0;
            else if (level == 2 && field == 1)
                snprintf(now->tag, sizeof now->tag, "%.*s", (int)size, (const char *)s);
            else {
                assert_true((level == 0 && field == 5) || (level == 1 && field == 1));
                get_message(v, now, s, s + size, level + 1);
            }
            s += size;
        }
    }
    assert_ptr_equal(s, end);
}

static struct events get_events(const struct vrt_buffer *b)
{
    struct events v = {.n = 0};
    for (size_t at = 0; at < b->size;) {
        const uint8_t *s = b->data + at;
        uint64_t size = little(s, 8);
        struct scalar now = {0};
        for (int i = 0; i < 2; i++) {
            uint32_t crc = i == 0 ? slow_crc(s, 8) : slow_crc(s + 12, size);
            crc = ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
            assert_int_equal(little(i == 0 ? s + 8 : s + 12 + size, 4), crc);
        }
        get_message(&v, &now, s + 12, s + 12 + size, 0);
        at += size + 16;
    }
    return v;
}

static void assert_scalar(const struct scalar *s, double wall_time, uint64_t step, const char *tag,
                          double value)
{
    assert_string_equal(s->tag, tag);
    assert_true(s->wall_time == wall_time && s->step == step && s->value == (float)value);
}

static void test_events(void **state)
{
    (void)state;
    struct vrt_history h = read_history();
    struct vrt_buffer b = {0};
    struct vrt_error e;
    assert_true(vrt_events_make(&b, &h, &e));
    struct events v = get_events(&b);
    assert_true(v.version);
    assert_int_equal(v.n, 4 + 5 + 6 + 5 + 5);                   /* NaN and null are left out */
    assert_scalar(&v.s[0], 1767323045.5, 1, "train/loss", 2.5); /* 8 pictures at 16 a second */
    assert_scalar(&v.s[1], 1767323045.5, 1, "train/balance_loss", 0.25);
    assert_scalar(&v.s[2], 1767323045.5, 1, "train/lr", 0.001);
    assert_scalar(&v.s[3], 1767323045.5, 1, "train/img_per_s", 16);
    assert_scalar(&v.s[7], 1767323047.5, 2, "train/grad_norm", 3);
    assert_scalar(&v.s[9], 1767323047.5, 2, "val/top1", 0.25);
    assert_scalar(&v.s[12], 1767323047.5, 2, "moe/a[1].mlp/entropy", 1.0);
    assert_scalar(&v.s[13], 1767323047.5, 2, "moe/a[1].mlp/max_load", 0.5);
    assert_scalar(&v.s[14], 1767323047.5, 2, "moe/a[1].mlp/dropped", 0.25);
    assert_scalar(&v.s[15], 1767323048.5, 3, "train/loss", 1.25);
    assert_scalar(&v.s[24], 1767323048.5, 4, "moe/a[1].mlp/dropped", 0);
    vrt_buffer_free(&b);
    vrt_history_free(&h);
}

static struct vrt_buffer written_events(void)
{
    struct vrt_history h = read_history();
    struct vrt_buffer b = {0};
    struct vrt_error e;
    glob_t g;
    char pattern[512];
    assert_true(vrt_events_write(folder, &h, &e));
    snprintf(pattern, sizeof pattern, "%s/events.out.tfevents.*", folder);
    assert_int_equal(glob(pattern, 0, NULL, &g), 0);
    assert_int_equal(g.gl_pathc, 1); /* one only, whatever was there before */
    assert_true(vrt_file_read(g.gl_pathv[0], 1 << 24, &b, &e));
    assert_non_null(strstr(g.gl_pathv[0], "a_b_c.vmoe"));
    globfree(&g);
    vrt_history_free(&h);
    return b;
}

/* As a training goes: an epoch more, then a resume that cut the metrics off and did steps again. */
static void test_events_file(void **state)
{
    static const char again[] =
        "{'step':3,'epoch':2,'loss':9,'balance_loss':9,'lr':9,'grad_norm':9,'img_per_s':8.0}\n";
    (void)state;
    const char *second = strstr(metrics, "{'warning'");
    char *first = strndup(metrics, (size_t)(second - metrics)), *redone = NULL;
    write_json("metrics.jsonl", first);
    struct vrt_buffer a = written_events();
    write_json("metrics.jsonl", metrics);
    struct vrt_buffer b = written_events();
    assert_true(b.size > a.size);
    assert_memory_equal(a.data, b.data, a.size);
    assert_true(asprintf(&redone, "%s%s", first, again) > 0);
    write_json("metrics.jsonl", redone);
    struct vrt_buffer c = written_events();
    struct events v = get_events(&c);
    assert_int_equal(v.n, 4 + 5 + 6 + 5);
    assert_scalar(&v.s[15], 1767323048.5, 3, "train/loss", 9);
    char *later = strdup(run_json);
    memcpy(strstr(later, "03:04:05"), "05:04:05", 8);
    write_json("run.json", later); /* begun again: the old file goes */
    struct vrt_buffer d = written_events();
    v = get_events(&d);
    assert_true(v.s[0].wall_time == 1767330245.5);
    write_json("run.json", run_json);
    write_json("metrics.jsonl", metrics);
    vrt_buffer_free(&a);
    vrt_buffer_free(&b);
    vrt_buffer_free(&c);
    vrt_buffer_free(&d);
    free(first);
    free(redone);
    free(later);
}

/* The check of the checker. */
static void test_strict(void **state)
{
    static const char *const bad[] = {
        "<p></p>",
        "<!DOCTYPE html>\n<p>",
        "<!DOCTYPE html>\n<p></b>",
        "<!DOCTYPE html>\n<p>a & b</p>",
        "<!DOCTYPE html>\n<p>"
        "\xff</p>",
        "<!DOCTYPE html>\n<a href=\"x\"></a>",
        "<!DOCTYPE html>\n<p src=\"x\"/>",
        "<!DOCTYPE html>\n<img/>",
        "<!DOCTYPE html>"
        "\n<p a=b></p>",
        "<!DOCTYPE html>\n<p style=\"background:url(x)\"/>",
        "<!DOCTYPE html>\n<style>/*<![CDATA[*/@import x/*]]>*/</style>",
        "<!DOCTYPE html>\n<script>//<![CDATA[\nfetch('x')//]]></script>",
        "<!DOCTYPE html>\n<script>a()</script>",
        "<!DOCTYPE "
        "html>\n<p a=\"1\" a=\"2\"/>",
        "<!DOCTYPE html>\n<p>\x01</p>",
    };
    size_t at;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_non_null(strict_page_fault(bad[i], &at));
    assert_null(strict_page_fault(
        "<!DOCTYPE html>\n<p a=\"1\">\xc3\xa4 &lt;<br/><a href=\"#b\">http://text</a></p>\n", &at));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_history),     cmocka_unit_test(test_meeting),
        cmocka_unit_test(test_thin),        cmocka_unit_test(test_escape),
        cmocka_unit_test(test_numbers),     cmocka_unit_test(test_strict),
        cmocka_unit_test(test_page),        cmocka_unit_test(test_missing),
        cmocka_unit_test(test_crc),         cmocka_unit_test(test_events),
        cmocka_unit_test(test_events_file),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    cmocka_run_group_tests_name("report", tests, make_folder, remove_folder);
    return 0;
}
