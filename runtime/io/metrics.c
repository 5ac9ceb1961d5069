/* The records of a run and the counting of hits: see metrics.h. */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/file.h"
#include "runtime/io/experts.h"
#include "runtime/io/metrics.h"
#include "runtime/io/put.h"

enum { LINE = 1024 };

static const char csv_header[] =
    "epoch,step,lr,train_loss,balance_loss,val_images,val_top1,val_top5,val_loss,"
    "images_per_s,seconds\n";

static bool open_at(int *fd, const char *folder, const char *name, int64_t *bytes, bool *lost,
                    struct vrt_error *e)
{
    char path[PATH_MAX];
    struct stat s;
    int n = snprintf(path, sizeof path, "%s/%s", folder, name);
    if (n <= 0 || n >= (int)sizeof path)
        return vrt_fail(e, VRT_BAD_INPUT, "the name of the folder %.100s... is too long", folder);
    *fd = vrt_file_update(path, e);
    if (*fd < 0)
        return false;
    if (fstat(*fd, &s) != 0)
        return vrt_fail(e, VRT_BAD_INPUT, "cannot write %s: %s", path, strerror(errno));
    if (s.st_size < *bytes) {
        *lost = true;
        *bytes = s.st_size;
    }
    if (ftruncate(*fd, *bytes) != 0 || lseek(*fd, *bytes, SEEK_SET) < 0)
        return vrt_fail(e, VRT_BAD_INPUT, "cannot write %s: %s", path, strerror(errno));
    return true;
}

/* The length of a line that was formatted. */
static bool formatted(int n, struct vrt_error *e)
{
    return n >= 0 || vrt_fail(e, VRT_NO_MEMORY, "no memory for a line of the metrics");
}

/* The place is told by a path: a run writes into many. */
static bool append(const struct vrt_metrics *m, int fd, int64_t *bytes, const char *line,
                   size_t length, const char *name, struct vrt_error *e)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", m->folder, name);
    *bytes += (int64_t)length;
    return vrt_file_put(fd, path, line, length, e);
}

static bool append_jsonl(struct vrt_metrics *m, const char *line, size_t length,
                         struct vrt_error *e)
{
    return append(m, m->jsonl, &m->jsonl_bytes, line, length, "metrics.jsonl", e);
}

static bool append_csv(struct vrt_metrics *m, const char *line, size_t length, struct vrt_error *e)
{
    return append(m, m->csv, &m->csv_bytes, line, length, "metrics.csv", e);
}

bool vrt_metrics_open(struct vrt_metrics *m, const char *folder, int64_t jsonl_bytes,
                      int64_t csv_bytes, bool *lost, struct vrt_error *e)
{
    *m = (struct vrt_metrics){.jsonl = -1,
                              .csv = -1,
                              .folder = folder,
                              .jsonl_bytes = jsonl_bytes,
                              .csv_bytes = csv_bytes};
    *lost = false;
    if (open_at(&m->jsonl, folder, "metrics.jsonl", &m->jsonl_bytes, lost, e) &&
        open_at(&m->csv, folder, "metrics.csv", &m->csv_bytes, lost, e) &&
        (m->csv_bytes > 0 || append_csv(m, csv_header, sizeof csv_header - 1, e)))
        return true;
    vrt_metrics_close(m);
    return false;
}

/* JSON has no infinities: a number that is not finite becomes null. */
static const char *number(char text[32], const char *format, double value)
{
    if (!isfinite(value))
        return "null";
    snprintf(text, 32, format, value);
    return text;
}

bool vrt_metrics_step(struct vrt_metrics *m, const struct vrt_step_record *r, struct vrt_error *e)
{
    char line[LINE], t[5][32];
    int n = snprintf(line, sizeof line,
                     "{\"step\":%lld,\"epoch\":%lld,\"loss\":%s,\"balance_loss\":%s,\"lr\":%s,"
                     "\"grad_norm\":%s,\"img_per_s\":%s}\n",
                     (long long)r->step, (long long)r->epoch, number(t[0], "%.9g", r->loss),
                     number(t[1], "%.9g", r->balance_loss), number(t[2], "%.9g", r->lr),
                     number(t[3], "%.9g", r->grad_norm), number(t[4], "%.1f", r->images_per_s));
    return formatted(n, e) && append_jsonl(m, line, (size_t)n, e);
}

static double mean_loss(const struct vrt_score *s)
{
    return s->images > 0 ? s->loss / (double)s->images : 0.0;
}

bool vrt_metrics_epoch_text(struct vrt_buffer *b, const struct vrt_epoch_record *r,
                            struct vrt_error *e)
{
    char t[6][32], unread[40] = "";
    if (r->val.unread > 0)
        snprintf(unread, sizeof unread, ",\"bad\":%lld", (long long)r->val.unread);
    bool ok =
        vrt_put(b, e,
                "{\"eval\":\"val\",\"step\":%lld,\"epoch\":%lld,\"images\":%lld,\"top1\":%lld,"
                "\"top5\":%lld,\"loss\":%s,\"train_loss\":%s,\"balance_loss\":%s,\"lr\":%s,\"img_"
                "per_s\":%s,"
                "\"seconds\":%s,\"moe\":[",
                (long long)r->step, (long long)r->epoch, (long long)r->val.images,
                (long long)r->val.top1, (long long)r->val.top5,
                number(t[0], "%.9g", mean_loss(&r->val)), number(t[1], "%.9g", r->train_loss),
                number(t[2], "%.9g", r->balance_loss), number(t[3], "%.9g", r->lr),
                number(t[4], "%.1f", r->images_per_s), number(t[5], "%.1f", r->seconds));
    for (int64_t i = 0; ok && i < r->nmoes; i++)
        ok = vrt_put(b, e, i > 0 ? ",{" : "{") && vrt_put_layer(b, &r->moes[i], r->balance, e) &&
             vrt_put(b, e, "}");
    return ok && vrt_put(b, e, "]%s}\n", unread);
}

bool vrt_metrics_epoch(struct vrt_metrics *m, const struct vrt_epoch_record *r, struct vrt_error *e)
{
    char line[LINE];
    struct vrt_buffer b = {0};
    bool ok = vrt_metrics_epoch_text(&b, r, e) && append_jsonl(m, (char *)b.data, b.size, e);
    vrt_buffer_free(&b);
    if (!ok)
        return false;
    int n = snprintf(line, sizeof line, "%lld,%lld,%.9g,%.9g,%.9g,%lld,%lld,%lld,%.9g,%.1f,%.1f\n",
                     (long long)r->epoch, (long long)r->step, r->lr, r->train_loss, r->balance_loss,
                     (long long)r->val.images, (long long)r->val.top1, (long long)r->val.top5,
                     mean_loss(&r->val), r->images_per_s, r->seconds);
    return formatted(n, e) && append_csv(m, line, (size_t)n, e);
}

bool vrt_metrics_lines(struct vrt_metrics *m, const char *lines, size_t size, struct vrt_error *e)
{
    return append_jsonl(m, lines, size, e);
}

bool vrt_metrics_warnings(const struct vrt_metrics *m, int64_t from, struct vrt_buffer *lines,
                          struct vrt_error *e)
{
    static const char warning[] = "{\"warning\":";
    struct vrt_buffer b = {0};
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/metrics.jsonl", m->folder);
    bool ok = vrt_file_read(path, SIZE_MAX - 1, &b, e);
    for (size_t at = (size_t)from, n; ok && at < b.size; at += n) {
        const char *line = (const char *)b.data + at, *newline = memchr(line, '\n', b.size - at);
        n = newline != NULL ? (size_t)(newline + 1 - line) : b.size - at;
        if (newline != NULL && strncmp(line, warning, sizeof warning - 1) == 0)
            ok = vrt_buffer_append(lines, line, n, e);
    }
    vrt_buffer_free(&b);
    return ok;
}

bool vrt_metrics_sync(struct vrt_metrics *m, struct vrt_error *e)
{
    if (fdatasync(m->jsonl) == 0 && fdatasync(m->csv) == 0)
        return true;
    return vrt_fail(e, VRT_BAD_INPUT, "cannot write metrics.jsonl and metrics.csv in %s: %s",
                    m->folder, strerror(errno));
}

void vrt_metrics_close(struct vrt_metrics *m)
{
    if (m->jsonl >= 0)
        close(m->jsonl);
    if (m->csv >= 0)
        close(m->csv);
    m->jsonl = m->csv = -1;
}

/* Cross-entropy of one picture in double: log sum exp(z - max) + max - z[label]. */
static double cross_entropy(const float *z, int64_t classes, int32_t label)
{
    double top = -INFINITY, sum = 0.0;
    for (int64_t c = 0; c < classes; c++)
        top = z[c] > top ? (double)z[c] : top;
    for (int64_t c = 0; c < classes; c++)
        sum += exp((double)z[c] - top);
    return log(sum) + top - (double)z[label];
}

int64_t vrt_rank(const float *logits, int64_t label, int64_t classes)
{
    const float own = logits[label];
    int64_t rank = 0;
    for (int64_t c = 0; c < classes; c++)
        rank += c != label && !(logits[c] < own || (logits[c] == own && c > label));
    return rank;
}

void vrt_score_add(struct vrt_score *s, const float *logits, const int32_t *labels, int64_t n,
                   int64_t classes)
{
    for (int64_t i = 0; i < n; i++) {
        const float *z = logits + i * classes;
        int64_t rank = vrt_rank(z, labels[i], classes);
        s->images++;
        s->top1 += rank < 1;
        s->top5 += rank < 5;
        s->loss += cross_entropy(z, classes, labels[i]);
    }
}
