/* Text, escapes and numbers: see markup.h. */
#include "runtime/report/markup.h"

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/base/show.h"

static void add(struct vrt_markup *m, const char *text, size_t n)
{
    if (!m->failed)
        m->failed = !vrt_buffer_append(&m->b, text, n, m->e);
}

void vrt_html(struct vrt_markup *m, const char *text)
{
    add(m, text, strlen(text));
}

void vrt_htmlf(struct vrt_markup *m, const char *format, ...)
{
    char text[1024], *longer = NULL;
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (n >= 0 && n < (int)sizeof text) {
        add(m, text, (size_t)n);
        return;
    }
    va_start(arguments, format); /* 1e308 in full, and the like */
    n = vasprintf(&longer, format, arguments);
    va_end(arguments);
    if (n >= 0)
        add(m, longer, (size_t)n);
    else
        m->failed = m->failed || !vrt_fail(m->e, VRT_NO_MEMORY, "no memory for the report");
    free(longer);
}

void *vrt_html_room(struct vrt_markup *m, size_t n, size_t size)
{
    void *room = calloc(n, size);
    if (room == NULL && !m->failed)
        m->failed =
            !vrt_fail(m->e, VRT_NO_MEMORY,
                      "no memory for a part of the report, which takes %zu bytes", n * size);
    return room;
}

void vrt_html_text(struct vrt_markup *m, const char *text)
{
    char shown[VRT_SHOWN];
    for (size_t n; *text != '\0'; text += n) {
        n = vrt_show(text, shown);
        vrt_html(m, *text == '&'    ? "&amp;"
                    : *text == '<'  ? "&lt;"
                    : *text == '>'  ? "&gt;"
                    : *text == '"'  ? "&quot;"
                    : *text == '\'' ? "&#39;"
                    : *text == '\n' ? "\n"
                    : *text == '\t' ? "\t"
                                    : shown);
    }
}

void vrt_table_begin(struct vrt_markup *m, const char *kind, const char *caption, const char *heads)
{
    vrt_htmlf(m, "<div class=\"scroll\"><table class=\"%s\"><caption>%s</caption><thead><tr>", kind,
              caption);
    for (const char *head = heads, *end; *head != '\0'; head = end + (*end == '|')) {
        bool words = *head == '<';
        end = strchrnul(head, '|');
        vrt_htmlf(m, "<th scope=\"col\"%s>%.*s</th>", words ? " class=\"word\"" : "",
                  (int)(end - head) - words, head + words);
    }
    vrt_html(m, "</tr></thead><tbody>");
}

void vrt_table_end(struct vrt_markup *m)
{
    vrt_html(m, "</tbody></table></div>");
}

void vrt_row_begin(struct vrt_markup *m, const char *name)
{
    vrt_html(m, "\n<tr><th scope=\"row\">");
    vrt_html_text(m, name);
    vrt_html(m, "</th>");
}

void vrt_bar_cell(struct vrt_markup *m, double part, const char *text)
{
    vrt_htmlf(m, "<td class=\"bar\" style=\"--v:%.3f\">%s</td>", isfinite(part) ? part : 0, text);
}

const char *vrt_count_text(vrt_number t, double n)
{
    char digits[32];
    size_t out = 0;
    if (!(fabs(n) < 1e15))
        return "–";
    int length = snprintf(digits, sizeof digits, "%.0f", n);
    for (int i = 0; i < length; i++) {
        t[out++] = digits[i];
        if (i + 1 < length && (length - 1 - i) % 3 == 0 && digits[i] != '-')
            t[out++] = ',';
    }
    t[out] = '\0';
    return t;
}

const char *vrt_short_text(vrt_number t, double n)
{
    static const struct {
        double unit;
        const char *name;
    } units[] = {
        {1e12, " T"},
        {1e9, " G"},
        {1e6, " M"},
        {1e3, " k"},
    };
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (n >= units[i].unit) {
            double x = n / units[i].unit;
            snprintf(t, sizeof(vrt_number), "%.*f%s",
                     x < 10    ? 2
                     : x < 100 ? 1
                               : 0,
                     x, units[i].name);
            return t;
        }
    return vrt_count_text(t, n);
}

const char *vrt_value_text(vrt_number t, double x)
{
    double size = fabs(x);
    if (!isfinite(x))
        return "–";
    if (size >= 1e5 && size < 1e15)
        return vrt_count_text(t, x);
    if (size == 0 || (size >= 1e-3 && size < 1e5)) {
        int whole = size < 1 ? 1 : (int)floor(log10(size)) + 1;
        snprintf(t, sizeof(vrt_number), "%.*f",
                 whole < 4 ? 4 - whole + (size < 0.1 && size > 0) : 0, x);
        return t;
    }
    snprintf(t, sizeof(vrt_number), "%.2e", x);
    return t;
}

const char *vrt_percent_text(vrt_number t, double part, double all)
{
    if (!(all > 0) || !isfinite(part))
        return "–";
    snprintf(t, sizeof(vrt_number), "%.2f", 100 * part / all);
    return t;
}

const char *vrt_seconds_text(vrt_number t, double s)
{
    if (!(s >= 0 && s < 1e10))
        return "–";
    long long n = llround(s);
    if (s < 10)
        snprintf(t, sizeof(vrt_number), "%.1f s", s);
    else if (n < 60)
        snprintf(t, sizeof(vrt_number), "%lld s", n);
    else if (n < 3600)
        snprintf(t, sizeof(vrt_number), "%lld min %lld s", n / 60, n % 60);
    else if (n < 86400)
        snprintf(t, sizeof(vrt_number), "%lld h %lld min", n / 3600, n / 60 % 60);
    else
        snprintf(t, sizeof(vrt_number), "%lld d %lld h", n / 86400, n / 3600 % 24);
    return t;
}

const char *vrt_clock_text(vrt_number t, double unix_seconds)
{
    struct tm utc;
    time_t when = unix_seconds > 0 && unix_seconds < 1e11 ? (time_t)unix_seconds : 0;
    if (gmtime_r(&when, &utc) == NULL ||
        strftime(t, sizeof(vrt_number), "%Y-%m-%d %H:%M UTC", &utc) == 0)
        return "–";
    return t;
}
