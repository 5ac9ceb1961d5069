/* JSON, whole or not at all.
 *
 * jansson tells that memory was lacking by the result of each call, and a document takes many
 * calls. So it is remembered instead, for each thread: documents are built without asking, and
 * whoever makes a text of one, or one of a text, does so here and is told, once. Nobody else calls
 * jansson's own json_dump.. and json_load..: they give memory that is not free()'s, and a load that
 * finds none for a string reads on behind it. */
#ifndef RUNTIME_BASE_JSON_H
#define RUNTIME_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "runtime/base/status.h"

/* Any bytes as a string: what is not UTF-8 becomes U+FFFD. */
json_t *vrt_json_text(const char *text);

/* A document as text, to be freed, with jansson's flags; the document is given up. NULL: no memory
 * for it, or for a part of it before. `what` is for the message: "run.json". */
char *vrt_json_write(json_t *j, size_t flags, const char *what, struct vrt_error *e);

/* A text as a document. NULL: "`what` is no valid JSON", or (VRT_NO_MEMORY) nothing is known. */
json_t *vrt_json_read(const char *text, size_t size, size_t flags, const char *what,
                      struct vrt_error *e);
json_t *vrt_json_read_file(const char *path, struct vrt_error *e);

/* Of documents that stay in memory: nothing was lacking in this thread since somebody asked, here
 * or by the functions above. */
bool vrt_json_whole(const char *what, struct vrt_error *e);

#endif
