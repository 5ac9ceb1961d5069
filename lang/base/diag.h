/* Diagnostics: one structure, printed as text (with caret) or as JSON (an object per line).
 *
 * Every message has a code from diag.def. Passes report and go on; they return false or NULL at the
 * end of their stage if anything was reported as an error. Output goes to the stream of
 * diag_new(). */
#ifndef LANG_BASE_DIAG_H
#define LANG_BASE_DIAG_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

#include "lang/base/source.h"

struct arena;
struct diag;

enum diag_format { DIAG_TEXT, DIAG_JSON };

enum diag_code {
#define DIAG(code, name, severity, summary) DIAG_##name,
#include "lang/base/diag.def"
#undef DIAG
    DIAG_COUNT
};

/* out: NULL to count only. */
struct diag *diag_new(struct arena *a, FILE *out, enum diag_format format, unsigned limit);

/* Report at a place. The message is one line without a full stop, lower case, naming things in
 * `quotes`. */
void diag_report(struct diag *d, enum diag_code code, struct loc loc, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Add to the report just made: a note (with or without a place), a help line, a replacement text
 * for the range of the report ("did you mean"). The report is printed when the next one starts or
 * at diag_flush(). */
void diag_note(struct diag *d, struct loc loc, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void diag_help(struct diag *d, const char *format, ...) __attribute__((format(printf, 2, 3)));
void diag_fix(struct diag *d, const char *replacement);

/* The text at a place counts no more: the command line says otherwise (`by`: "--set a.b=1"). A
 * report that shows its line says so. */
void diag_replace(struct diag *d, struct loc old, struct loc with, const char *by);

void diag_flush(struct diag *d);
unsigned diag_errors(const struct diag *d);      /* errors so far */
bool diag_full(const struct diag *d);            /* the limit is reached: stop looking for more */
const char *diag_code_text(enum diag_code code); /* "V0204" */

#endif
