/* JSON from a file. */
#ifndef RUNTIME_BASE_JSON_FILE_H
#define RUNTIME_BASE_JSON_FILE_H

#include <jansson.h>

#include "runtime/base/status.h"

/* What a regular file holds, as a reference of the caller; NULL: it cannot be read, or is no
 * JSON. */
json_t *vrt_json_file(const char *path, struct vrt_error *e);

#endif
