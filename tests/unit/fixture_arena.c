/* An arena for each test. */
#include "config.h"

#include "tests/unit/fixture.h"

#include "lang/base/arena.h"

struct arena *arena;

int new_arena(void **state)
{
    (void)state;
    arena = arena_new();
    return 0;
}

int free_arena(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}
