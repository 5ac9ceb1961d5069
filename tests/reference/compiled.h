/* A network compiled in process: from a .vmoe file to functions that can be called, with all
 * regions allocated. */
#ifndef TESTS_REFERENCE_COMPILED_H
#define TESTS_REFERENCE_COMPILED_H

#include <stddef.h>

#include "lang/lang.h"
#include "runtime/vrt.h"

struct arena;

struct compiled {
    const struct vrt_program *program;
    /* two threads; PARAMS, GRADS, moments, BALANCE, INPUT and TARGET are zero */
    struct vrt_ctx ctx;
    struct arena *arena;
    void *library;
};

/* `eps`: of all layer norms; 0: as the file says. Fails the cmocka test with what the compiler
 * reported. */
struct compiled compiled_open(const char *file, const struct lang_define *sets, size_t nsets,
                              double eps);
void compiled_close(struct compiled *c);

float *compiled_region(const struct compiled *c, enum vrt_region region, const struct vrt_param *p);
void compiled_clear(struct compiled *c, enum vrt_region region); /* PARAMS .. MOMENT2, BALANCE */
void compiled_average(struct compiled *c);                       /* EMA begins as PARAMS */

#endif
