/* Reading a resolved spec, and its hash. Input: a spec. Output: keys by path; XXH3-128 over the
 * frozen text. */
#include "lang/spec.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "lang/base/arena.h"
#include "lang/resolve.h"

const char *const moe_choice_words[] = {
    [CHOICE_TOKEN] = "token", [CHOICE_EXPERT] = "expert", [CHOICE_SOFT] = "soft"};

const struct spec_key *spec_find_key(const struct spec *s, const char *path)
{
    for (size_t i = 0; i < s->nkeys; i++)
        if (strcmp(s->keys[i].path, path) == 0)
            return &s->keys[i];
    return NULL;
}

/* A path that keys.def does not have is a mistake of the compiler, not of a file. */
static const struct spec_value *promised(const struct spec *s, const char *path)
{
    const struct spec_key *k = spec_find_key(s, path);
    if (k)
        return &k->value;
    fprintf(stderr, "vmoec: the compiler asks for a key that does not exist: %s\n", path);
    abort();
}

double spec_number(const struct spec *s, const char *path)
{
    return promised(s, path)->f;
}

bool spec_flag(const struct spec *s, const char *path)
{
    return promised(s, path)->i != 0;
}

const char *spec_text(const struct spec *s, const char *path)
{
    return promised(s, path)->text;
}

void spec_hash(struct spec *s, struct arena *a)
{
    struct arena_text text;
    lang_print_spec(s, arena_text_begin(&text));
    const char *frozen = arena_text_end(a, &text);
    XXH128_hash_t h = XXH3_128bits(frozen, strlen(frozen));
    s->hash = arena_printf(a, "%016llx%016llx", (unsigned long long)h.high64,
                           (unsigned long long)h.low64);
}
