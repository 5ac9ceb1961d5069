/* What a program says to people. Names from files and pictures may hold anything: a terminal is
 * shown what would act on it, see vrt_show(). A newline is one of ours where it ends the text or
 * stands before two spaces; elsewhere it is a name's, and shown. */
#ifndef RUNTIME_PROGRAM_MESSAGE_H
#define RUNTIME_PROGRAM_MESSAGE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "runtime/base/status.h"

/* "WHO: TEXT" on stderr; who NULL: the text alone. */
void vrt_message(const char *who, const char *text);
void vrt_messagef(const char *who, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Results, as fprintf. Where `out` is no terminal names stay as they are, for programs that read
 * them. Like any output that could not be written it is no success that memory was lacking for a
 * part: main() asks at the end. */
void vrt_print(FILE *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool vrt_printed(struct vrt_error *e);

/* For a command whose results are files: what it prints is dropped where stdout was closed. */
void vrt_message_may_be_lost(void);

/* A document as a line on stdout, with jansson's flags; it is given up. False: no memory, and
 * nothing was printed. */
bool vrt_print_json(json_t *j, size_t flags, struct vrt_error *e);

#endif
