/* What must not outlive the compiler: a folder to work in, a file that is to become the output, and
 * the process that works for it. All of it goes by scratch_remove(), at exit() and when a signal
 * other than SIGKILL ends the compiler. For the main thread. */
#ifndef COMPILER_FILES_SCRATCH_H
#define COMPILER_FILES_SCRATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct arena;

/* A folder in TMPDIR, or /tmp, that is this user's alone; the same one at each call. NULL with
 * errno: it cannot be made in scratch_place(). Whatever files are in it at the end are removed.
 * From then on it is TMPDIR. */
const char *scratch_folder(struct arena *a);
const char *scratch_place(void);

/* The one file, new and empty, in the same folder as `beside`: a descriptor, or -1 with errno.
 * scratch_rename() gives it its name, in place of a file that has it. */
int scratch_file(struct arena *a, const char *beside);
bool scratch_rename(const char *name);

/* Runs a command to its end, as waitpid() tells it; -1 with errno: it cannot be run. `quiet`: what
 * it prints is of no interest. */
int scratch_run(const char *const *argv, bool quiet);

/* All of `size` bytes, or false with errno. From any thread. */
bool scratch_write(int fd, const void *data, size_t size);

/* At the start of another thread: when its stack overflows all goes, too. */
void scratch_thread(void);

void scratch_remove(void); /* before the arenas go that names were taken from */

#endif
