/* The instructions of this processor against those of a program. A set is a uint64_t whose bit i is
 * row i of processor.def. */
#ifndef RUNTIME_BASE_PROCESSOR_H
#define RUNTIME_BASE_PROCESSOR_H

#include <stdint.h>

#include "runtime/base/status.h"

/* What the processor has and its system lets programs use; on other machines than x86-64 all. */
uint64_t vrt_processor_set(void);

/* Does `has` hold what `needs` does? If not, the error names the instructions that are missing, and
 * the target to build `spec` for. */
bool vrt_processor_check(uint64_t needs, uint64_t has, const char *spec, struct vrt_error *e);

#endif
