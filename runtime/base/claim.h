/* A claim on a folder: one process at a time works in it, on this machine or on another that sees
 * the folder too.
 *
 * Where locks work, a claim is a flock() on the folder, which the kernel takes back from a process
 * that dies. Where they do not (ENOLCK, ENOSYS, EOPNOTSUPP; and on file systems of the network,
 * whose locks on folders are known to one machine alone) it is a folder inside, `claim`, with one
 * file whose name says who: HOST,PID,START,PIDS,BOOT, where START is when the process began (ticks
 * since the boot), PIDS the namespace of process numbers, and BOOT the boot of the machine. A
 * thread renews the time of that file each half minute.
 *
 * Such a claim is free again when its process is seen to be dead, by those who run in the same
 * namespace of the same boot; by others when it was not renewed for five minutes, by the clock of
 * the file system. Making it is one rename() of a folder, taking it over one rename() of its file,
 * so of several who try exactly one succeeds. A process that stood still for five minutes may have
 * lost it: whoever holds a claim asks vrt_claim_holds() before what must not be done twice.
 *
 * A `claim` that holds anything else is the user's: it is left alone, and the folder refused.
 *
 * A machine whose locks work looks for the folder too, but one where they do not cannot see a lock:
 * what is shared should be mounted alike everywhere. */
#ifndef RUNTIME_BASE_CLAIM_H
#define RUNTIME_BASE_CLAIM_H

#include <stdbool.h>

#include "runtime/base/status.h"

struct vrt_claim;

enum { VRT_CLAIM_WHO = 128 };

/* Claim a folder that exists; a lock is waited for for a second, since a process that was killed
 * needs a moment to end. On failure *out is NULL; `who` says who holds it ("process 17 on node3"),
 * or is "" and *e says what went wrong. */
bool vrt_claim_take(struct vrt_claim **out, const char *folder, char who[VRT_CLAIM_WHO],
                    struct vrt_error *e);

/* Is it still ours? True of NULL: whoever needs no claim. */
bool vrt_claim_holds(const struct vrt_claim *c, struct vrt_error *e);

/* Give it up; nothing to do with NULL. */
void vrt_claim_drop(struct vrt_claim *c);

/* Is somebody at work in the folder? (A guess that is soon old, for reports.) */
bool vrt_claim_seen(const char *folder);

/* Is this what a claim puts into its folder? Whoever asks whether the folder is empty passes it
 * over. */
bool vrt_claim_entry(const char *name);

#endif
