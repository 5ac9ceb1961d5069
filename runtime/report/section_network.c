/* What was trained: the layers as the compiler counts them, the settings, the spec. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "runtime/report/section.h"

static void layer_table(struct vrt_page *p)
{
    const json_t *list = json_object_get(p->info, "layers");
    double params = 0, macs = 0;
    vrt_number t;
    for (size_t i = 0; i < json_array_size(list); i++) {
        params = fmax(params, vrt_member(json_array_get(list, i), "params"));
        macs = fmax(macs, vrt_member(json_array_get(list, i), "macs"));
    }
    vrt_table_begin(&p->m, "plain", "Parts of the network",
                    "part|output|parameters|MACs per picture");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *j = json_array_get(list, i), *output = json_object_get(j, "output");
        const char *name = json_string_value(json_object_get(j, "name"));
        double own = vrt_member(j, "params"), work = vrt_member(j, "macs");
        vrt_row_begin(&p->m, name != NULL ? name : "");
        vrt_html(&p->m, "<td>");
        for (size_t k = 0; k < json_array_size(output); k++)
            vrt_htmlf(&p->m, "%s%.0f", k > 0 ? " × " : "",
                      json_number_value(json_array_get(output, k)));
        vrt_html(&p->m, "</td>");
        vrt_bar_cell(&p->m, own / params, vrt_count_text(t, own));
        vrt_bar_cell(&p->m, work / macs, vrt_count_text(t, work));
        vrt_html(&p->m, "</tr>");
    }
    vrt_table_end(&p->m);
}

static void folded(struct vrt_page *p, const char *title, const char *text)
{
    vrt_htmlf(&p->m, "<details><summary>%s</summary><pre>", title);
    vrt_html_text(&p->m, text);
    vrt_html(&p->m, "</pre></details>");
}

static void settings_table(struct vrt_page *p)
{
    const char *key;
    json_t *value, *keys = json_object_get(p->h->run, "keys");
    char number[40];
    if (json_object_size(keys) == 0)
        return;
    vrt_html(&p->m, "<details><summary>The settings of the run</summary>");
    vrt_table_begin(&p->m, "keys", "Every key that a flag could have changed", "key|<value");
    json_object_foreach(keys, key, value)
    {
        snprintf(number, sizeof number, "%.10g", json_number_value(value));
        vrt_row_begin(&p->m, key);
        vrt_html(&p->m, "<td class=\"word\">");
        vrt_html_text(&p->m, json_is_string(value)  ? json_string_value(value)
                             : json_is_true(value)  ? "true"
                             : json_is_false(value) ? "false"
                                                    : number);
        vrt_html(&p->m, "</td></tr>");
    }
    vrt_table_end(&p->m);
    vrt_html(&p->m, "</details>");
}

void vrt_section_network(struct vrt_page *p)
{
    vrt_section_begin(p, "network", "Network", NULL);
    if (p->info != NULL) {
        layer_table(p);
        folded(p, "What the compiler says of it", p->r->info_text != NULL ? p->r->info_text : "");
    } else
        vrt_html(&p->m, "<p class=\"none\">The program that made this page is not the one of this "
                        "run, so its layers are left "
                        "out.</p>");
    settings_table(p);
    if (p->h->spec.data != NULL)
        folded(p, "The spec, with all values in place", (const char *)p->h->spec.data);
    else
        vrt_html(&p->m, "<p class=\"none\">spec.vmoe is missing.</p>");
    vrt_html(&p->m, "</section>");
}
