/* What several unit tests stand on; each links the file it needs. */
#ifndef TESTS_UNIT_FIXTURE_H
#define TESTS_UNIT_FIXTURE_H

struct arena;

/* fixture_arena.c: set-up and tear-down of a test that works in an arena of its own. */
extern struct arena *arena;
int new_arena(void **state);
int free_arena(void **state);

/* fixture_folder.c: set-up and tear-down of a group of tests that share a new folder. */
extern char folder[];
int make_folder(void **state);
int remove_folder(void **state);

#endif
