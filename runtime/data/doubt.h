/* Data that are not what was meant, likely: a folder too many, or --data a level too high or too
 * low. What is advised here works when it is followed; with no memory to look for it, none is. */
#ifndef RUNTIME_DATA_DOUBT_H
#define RUNTIME_DATA_DOUBT_H

#include <stdbool.h>

enum { VRT_DOUBT_TEXT = 1000 };
struct vrt_dataset;

/* Is all of a training set of one class? Then why that may be so. `split` is what was opened. */
bool vrt_doubt_classes(const struct vrt_dataset *d, const char *split, char text[VRT_DOUBT_TEXT]);

/* Nothing of the split was found in this folder: "; perhaps --data OTHER is meant", or "". */
void vrt_doubt_root(const char *root, const char *split, char text[VRT_DOUBT_TEXT]);

#endif
