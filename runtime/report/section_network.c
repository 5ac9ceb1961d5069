/* What was trained: the layers as the compiler counts them, the settings, the spec. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "runtime/report/section.h"

static void layer_table(struct vrt_page *p)
{
    const json_t *list = json_object_get(p->info, "layers");
    double params = 0, macs = 0;
    vrt_number t[2];
    for (size_t i = 0; i < json_array_size(list); i++) {
        params = fmax(params, vrt_member(json_array_get(list, i), "params"));
        macs = fmax(macs, vrt_member(json_array_get(list, i), "macs"));
    }
    vrt_html(&p->m, "<div class=\"scroll\"><table><caption>Parts of the network</caption><thead><tr><th scope=\"col\">part</th>"
             "<th scope=\"col\">output</th><th scope=\"col\">parameters</th><th scope=\"col\">MACs per picture</th></tr></thead><tbody>");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *j = json_array_get(list, i), *output = json_object_get(j, "output");
        const char *name = json_string_value(json_object_get(j, "name"));
        double own = vrt_member(j, "params"), work = vrt_member(j, "macs");
        vrt_html(&p->m, "\n<tr><th scope=\"row\">");
        vrt_html_text(&p->m, name != NULL ? name : "");
        vrt_html(&p->m, "</th><td>");
        for (size_t k = 0; k < json_array_size(output); k++)
            vrt_htmlf(&p->m, "%s%.0f", k > 0 ? " × " : "", json_number_value(json_array_get(output, k)));
        vrt_htmlf(&p->m, "</td><td class=\"bar\" style=\"--v:%.3f\">%s</td>", params > 0 ? own / params : 0, vrt_count_text(t[0], own));
        vrt_htmlf(&p->m, "<td class=\"bar\" style=\"--v:%.3f\">%s</td></tr>", macs > 0 ? work / macs : 0, vrt_count_text(t[1], work));
    }
    vrt_html(&p->m, "</tbody></table></div>");
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
    vrt_html(&p->m, "<details><summary>The settings of the run</summary><div class=\"scroll\"><table class=\"keys\">"
             "<caption>Every key that a flag could have changed</caption><thead><tr><th scope=\"col\">key</th><th scope=\"col\" class=\"word\">value</th></tr>"
             "</thead><tbody>");
    json_object_foreach(keys, key, value) {
        snprintf(number, sizeof number, json_is_true(value) ? "true" : json_is_false(value) ? "false" : "%.10g", json_number_value(value));
        vrt_html(&p->m, "\n<tr><th scope=\"row\">");
        vrt_html_text(&p->m, key);
        vrt_html(&p->m, "</th><td class=\"word\">");
        vrt_html_text(&p->m, json_is_string(value) ? json_string_value(value) : number);
        vrt_html(&p->m, "</td></tr>");
    }
    vrt_html(&p->m, "</tbody></table></div></details>");
}

void vrt_section_network(struct vrt_page *p)
{
    vrt_section_begin(p, "network", "Network", NULL);
    if (p->info != NULL) {
        layer_table(p);
        folded(p, "What the compiler says of it", p->r->info_text != NULL ? p->r->info_text : "");
    } else
        vrt_html(&p->m, "<p class=\"none\">The program that made this page is not the one of this run, so its layers are left out.</p>");
    settings_table(p);
    if (p->h->spec.data != NULL)
        folded(p, "The spec, with all values in place", (const char *)p->h->spec.data);
    else
        vrt_html(&p->m, "<p class=\"none\">spec.vmoe is missing.</p>");
    vrt_html(&p->m, "</section>");
}
