/* The sections of the page, each with its heading; each says in a line what it lacks. Private to
 * this folder. */
#ifndef RUNTIME_REPORT_SECTION_H
#define RUNTIME_REPORT_SECTION_H

#include <jansson.h>

#include "runtime/report/history.h"
#include "runtime/report/markup.h"
#include "runtime/report/page.h"

struct vrt_page {
    struct vrt_markup m;
    const struct vrt_report *r;
    const struct vrt_history *h;
    json_t *info;       /* of the program; NULL: none, or of another one */
    double epoch_steps; /* 0: unknown; then x axes count steps */
};

void vrt_section_head(struct vrt_page *p); /* what ran, how far it is, what came out */
void vrt_section_curves(struct vrt_page *p);
void vrt_section_classes(struct vrt_page *p);
void vrt_section_mistakes(struct vrt_page *p); /* confused pairs, calibration */
void vrt_section_experts(struct vrt_page *p);
void vrt_section_network(struct vrt_page *p); /* layers, spec, settings */

/* "<section id><h2>" and an introduction of our own; close with "</section>". */
void vrt_section_begin(struct vrt_page *p, const char *id, const char *title, const char *about);

/* Places on x axes: steps as epochs where the length of one is known. */
double vrt_page_x(const struct vrt_page *p, double step);
const char *vrt_page_x_name(const struct vrt_page *p);

/* Cells (rows, columns) of shares from 0 to `top`, in ten strengths of one colour. */
void vrt_heat_map(struct vrt_markup *m, const char *title, const double *cell, size_t rows,
                  size_t columns, double top);

/* The name of class c of analysis.json: "" if it has none. */
const char *vrt_class_name(const struct vrt_page *p, size_t c);

#endif
