/* Reading a resolved spec, and its hash. Input: a spec. Output: keys by path; XXH3-128 over the
 * frozen text. */
#include "lang/spec.h"

#include <assert.h>
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

static const char *const paths[KEY_NAMES] = {
#define KEY_NAME(name, path) [KEY_##name] = path,
#include "lang/key_names.def"
#undef KEY_NAME
};

const struct spec_key *spec_key(const struct spec *s, enum key_name key)
{
    assert(key < KEY_NAMES);
    return spec_find_key(s, paths[key]);
}

/* A resolved spec has every key. */
static const struct spec_value *value_of(const struct spec *s, enum key_name key)
{
    const struct spec_key *k = spec_key(s, key);
    assert(k);
    return &k->value;
}

double spec_number(const struct spec *s, enum key_name key)
{
    return value_of(s, key)->f;
}

bool spec_flag(const struct spec *s, enum key_name key)
{
    return value_of(s, key)->i != 0;
}

const char *spec_text(const struct spec *s, enum key_name key)
{
    return value_of(s, key)->text;
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
