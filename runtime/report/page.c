/* The page as a whole: see page.h. */
#include "runtime/report/page.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "runtime/report/section.h"

enum { USUAL = 1 << 20 }; /* bytes of a page, so that it seldom has to grow */

static const char *const style[] = {
#include "runtime/report/style.def"
};

static const char *const script[] = {
#include "runtime/report/script.def"
};

void vrt_section_begin(struct vrt_page *p, const char *id, const char *title, const char *about)
{
    vrt_htmlf(&p->m, "\n<section id=\"%s\"><h2>%s</h2>", id, title);
    if (about != NULL)
        vrt_htmlf(&p->m, "<p class=\"about\">%s</p>", about);
}

double vrt_page_x(const struct vrt_page *p, double step)
{
    return p->epoch_steps > 0 ? step / p->epoch_steps : step;
}

const char *vrt_page_x_name(const struct vrt_page *p)
{
    return p->epoch_steps > 0 ? "epoch" : "step";
}

static int strength(double share, double top)
{
    return top > 0 && share > 0 ? (int)fmin(9, 9.999 * share / top) : 0;
}

/* Ten strengths as one path each: a run of equal cells is one stroke, so a thousand columns stay
 * small. */
void vrt_heat_map(struct vrt_markup *m, const char *title, const double *cell, size_t rows,
                  size_t columns, double top)
{
    vrt_htmlf(m,
              "<svg class=\"heat\" viewBox=\"0 0 %zu %zu\" preserveAspectRatio=\"none\" "
              "role=\"img\"><title>",
              columns, rows);
    vrt_html_text(m, title);
    vrt_html(m, "</title>");
    for (int level = 1; level < 10; level++) {
        const char *end = "";
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0, next; c < columns; c = next) {
                const double *row = cell + r * columns;
                for (next = c + 1;
                     next < columns && strength(row[next], top) == strength(row[c], top);)
                    next++;
                if (strength(row[c], top) != level)
                    continue;
                if (*end == '\0')
                    vrt_htmlf(m, "<path class=\"q%d\" d=\"", level);
                vrt_htmlf(m, "M%zu %zu.5h%zu", c, r, next - c);
                end = "\"/>";
            }
        vrt_html(m, end);
    }
    vrt_html(m, "</svg>");
}

const char *vrt_class_name(const struct vrt_page *p, size_t c)
{
    const char *name = json_string_value(
        json_object_get(json_array_get(json_object_get(p->h->analysis, "classes"), c), "name"));
    return name != NULL ? name : "";
}

static void put_lines(struct vrt_markup *m, const char *const *line, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        vrt_html(m, line[i]);
        vrt_html(m, "\n");
    }
}

static void page_head(struct vrt_page *p)
{
    const char *model = json_string_value(json_object_get(p->h->run, "model"));
    vrt_html(&p->m, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>"
                    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>"
                    "<meta name=\"color-scheme\" content=\"light dark\"/>"
                    "<title>");
    vrt_html_text(&p->m, model != NULL ? model : "run");
    vrt_html(&p->m, " – vmoe run</title>\n<style>/*<![CDATA[*/\n");
    put_lines(&p->m, style, sizeof style / sizeof *style);
    vrt_html(&p->m, "/*]]>*/</style></head>\n<body>");
}

static void page_foot(struct vrt_page *p)
{
    vrt_html(&p->m, "\n<footer>Made by the program itself from the files of its run folder. "
                    "Nothing is loaded from elsewhere.</footer>"
                    "\n<script>//<![CDATA[\n");
    put_lines(&p->m, script, sizeof script / sizeof *script);
    vrt_html(&p->m, "//]]></script></body></html>\n");
}

/* The program's own description, if it is the program of this run. */
static bool info_of_run(json_t **out, const struct vrt_report *r, struct vrt_error *e)
{
    const char *hash = json_string_value(json_object_get(r->history->run, "spec_hash")),
               *text = r->info_json;
    *out = NULL;
    if (text == NULL)
        return true;
    json_t *info = vrt_json_read(text, strlen(text), 0, "the program's table", e);
    const char *own = json_string_value(json_object_get(info, "spec_hash"));
    if (hash != NULL && own != NULL && strcmp(hash, own) == 0)
        *out = json_incref(info);
    json_decref(info);
    return info != NULL;
}

bool vrt_report_write(const struct vrt_report *r, struct vrt_error *e)
{
    struct vrt_page p = {
        .m = {.e = e}, .r = r, .h = r->history, .epoch_steps = vrt_history_epoch_steps(r->history)};
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/report.html", r->folder);
    if (n <= 0 || n >= (int)sizeof path)
        return vrt_fail(e, VRT_BAD_INPUT, "the name of the folder %.100s... is too long",
                        r->folder);
    p.m.failed = !vrt_buffer_reserve(&p.m.b, USUAL, e) || !info_of_run(&p.info, r, e);
    page_head(&p);
    vrt_section_head(&p);
    vrt_html(&p.m, "<main>");
    vrt_section_curves(&p);
    vrt_section_experts(&p);
    vrt_section_classes(&p);
    vrt_section_mistakes(&p);
    vrt_section_network(&p);
    vrt_html(&p.m, "</main>");
    page_foot(&p);
    bool ok = !p.m.failed && vrt_file_write(path, p.m.b.data, p.m.b.size, e);
    vrt_buffer_free(&p.m.b);
    json_decref(p.info);
    return ok;
}
