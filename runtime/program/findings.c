/* Results of the gradient check, gathered by kind of tensor and printed: see findings.h. */
#include "runtime/program/findings.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/json.h"
#include "runtime/program/message.h"

/* A tensor without influence at some place shows least. */
static int weight_of(struct vrt_finding f)
{
    return f.verdict == VRT_WRONG ? 3 : f.verdict != VRT_RIGHT ? 1 : vrt_finding_moves(f) ? 2 : 0;
}

bool vrt_finding_moves(struct vrt_finding f)
{
    return f.analytic != 0.0 || f.numeric != 0.0;
}

struct vrt_finding vrt_finding_weightier(struct vrt_finding a, struct vrt_finding b)
{
    int more = weight_of(b) - weight_of(a);
    return more > 0 || (more == 0 && b.error > a.error) ? b : a;
}

/* "stages.2.blocks.8.mlp.fc1.weight" -> "stages.*.blocks.*.mlp.fc1.weight": parts that are numbers
 * alone. */
static void kind_name(char *out, const char *name)
{
    size_t n = 0;
    bool first = true; /* at the beginning of a part */
    while (*name != '\0' && n + 1 < VRT_KIND_SIZE) {
        size_t digits = first ? strspn(name, "0123456789") : 0;
        bool number = digits > 0 && (name[digits] == '.' || name[digits] == '\0');
        out[n++] = number ? '*' : *name;
        first = *name == '.';
        name += number ? digits : 1;
    }
    out[n] = '\0';
}

static struct vrt_kind *find_kind(struct vrt_findings *f, const char *tensor)
{
    char text[VRT_KIND_SIZE];
    int64_t i = 0;
    kind_name(text, tensor);
    while (i < f->n && strcmp(f->kinds[i].name, text) != 0)
        i++;
    if (i == f->n) {
        f->kinds[i] = (struct vrt_kind){.tensors = 0};
        memcpy(f->kinds[i].name, text, strlen(text) + 1);
        f->n++;
    }
    return &f->kinds[i];
}

void vrt_findings_add(struct vrt_findings *f, const char *tensor, struct vrt_finding found)
{
    struct vrt_kind *kind = find_kind(f, tensor);
    kind->example = kind->tensors == 0 ? found : vrt_finding_weightier(kind->example, found);
    kind->tensors++;
    kind->verdicts[found.verdict]++;
}

static json_t *number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static json_t *verdicts_json(const int64_t verdicts[VRT_VERDICTS])
{
    return json_pack("{s:I, s:I, s:I}", "noise", (json_int_t)verdicts[VRT_UNCLEAR_NOISE], "shape",
                     (json_int_t)verdicts[VRT_UNCLEAR_SHAPE], "not_finite",
                     (json_int_t)verdicts[VRT_UNCLEAR_VALUE]);
}

static json_t *kind_json(const struct vrt_kind *kind)
{
    return json_pack("{s:s, s:I, s:o, s:o, s:o, s:b, s:o}", "kind", kind->name, "tensors",
                     (json_int_t)kind->tensors, "worst_error", number(kind->example.error),
                     "analytic", number(kind->example.analytic), "numeric",
                     number(kind->example.numeric), "ok", kind->verdicts[VRT_WRONG] == 0,
                     "not_judged", verdicts_json(kind->verdicts));
}

static bool print_json(const struct vrt_findings *f, const int64_t verdicts[VRT_VERDICTS],
                       struct vrt_error *e)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < f->n; i++)
        json_array_append_new(list, kind_json(&f->kinds[i]));
    return vrt_print_json(json_pack("{s:b, s:I, s:o, s:o}", "passed", verdicts[VRT_WRONG] == 0,
                                    "failed", (json_int_t)verdicts[VRT_WRONG], "kinds", list,
                                    "not_judged", verdicts_json(verdicts)),
                          JSON_REAL_PRECISION(9), e);
}

static int64_t unclear(const int64_t verdicts[VRT_VERDICTS])
{
    return verdicts[VRT_UNCLEAR_NOISE] + verdicts[VRT_UNCLEAR_SHAPE] + verdicts[VRT_UNCLEAR_VALUE];
}

static void print_kind(const struct vrt_kind *kind)
{
    const struct vrt_finding *r = &kind->example;
    int64_t open = unclear(kind->verdicts);
    vrt_print(stdout, "%-4s %-48s %7lld %12.2e %14.6e %14.6e",
              kind->verdicts[VRT_WRONG] ? "FAIL"
              : open == kind->tensors   ? "-"
                                        : "ok",
              kind->name, (long long)kind->tensors, r->error, r->analytic, r->numeric);
    if (open > 0)
        vrt_print(stdout, "  %lld not judged", (long long)open);
    vrt_print(stdout, "\n");
}

static void print_table(const struct vrt_findings *f, const int64_t verdicts[VRT_VERDICTS])
{
    vrt_print(stdout, "%-4s %-48s %7s %12s %14s %14s\n", "", "parameter", "tensors", "worst error",
              "gradient", "difference");
    for (int64_t i = 0; i < f->n; i++)
        print_kind(&f->kinds[i]);
    if (unclear(verdicts) > 0)
        vrt_print(
            stdout,
            "not judged: %lld below the noise of the loss, %lld at kinks or sharp bends, %lld "
            "not finite\n",
            (long long)verdicts[VRT_UNCLEAR_NOISE], (long long)verdicts[VRT_UNCLEAR_SHAPE],
            (long long)verdicts[VRT_UNCLEAR_VALUE]);
    vrt_print(stdout, "%lld kinds of parameters, %lld tensors that fail\n", (long long)f->n,
              (long long)verdicts[VRT_WRONG]);
}

bool vrt_findings_print(const struct vrt_findings *f, bool as_json, int64_t *failed,
                        struct vrt_error *e)
{
    int64_t verdicts[VRT_VERDICTS] = {0};
    for (int64_t i = 0; i < f->n; i++)
        for (int v = 0; v < VRT_VERDICTS; v++)
            verdicts[v] += f->kinds[i].verdicts[v];
    *failed = verdicts[VRT_WRONG];
    if (as_json)
        return print_json(f, verdicts, e);
    print_table(f, verdicts);
    return true;
}
