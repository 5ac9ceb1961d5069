/* What can be said of a program before it runs: sizes, costs and memory, as text, as JSON, and as
 * the facts that checks ask for. */
#ifndef COMPILER_INFO_H
#define COMPILER_INFO_H

#include <stdbool.h>

#include "lang/lang.h"

struct arena;
struct diag;
struct plan;

const char *info_text(struct arena *a, const struct plan *p);
const char *info_json(struct arena *a, const struct plan *p);
struct lang_facts info_facts(const struct plan *p);

/* memory.limit; info_check_limits() is false after a report. */
bool info_fits(const struct plan *p);
bool info_check_limits(const struct plan *p, struct diag *d);

#endif
