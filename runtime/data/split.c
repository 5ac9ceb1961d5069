/* Names of splits: see split.h. */
#include "runtime/data/split.h"

#include <string.h>

enum { WORDS = 5 };

/* Of each kind, best first; timm knows the same. */
static const char *const words[][WORDS] = {
    [VRT_SPLIT_TRAIN] = {"train", "training"},
    [VRT_SPLIT_VAL] = {"val", "validation", "valid", "eval", "evaluation"},
    [VRT_SPLIT_TEST] = {"test"},
    [VRT_SPLIT_OTHER] = {NULL},
};

static enum vrt_split_kind kind_of(const char *name)
{
    return vrt_split_kind(name, strlen(name));
}

enum vrt_split_kind vrt_split_kind(const char *name, size_t length)
{
    int kind = 0;

    for (; kind < VRT_SPLIT_OTHER; kind++)
        for (int i = 0; i < WORDS && words[kind][i] != NULL; i++)
            if (strlen(words[kind][i]) == length && memcmp(words[kind][i], name, length) == 0)
                return (enum vrt_split_kind)kind;
    return VRT_SPLIT_OTHER;
}

/* The words of a kind behind n names, `own` aside. */
static int add_words(enum vrt_split_kind kind, const char *own, const char *names[], int n)
{
    for (int i = 0; i < WORDS && words[kind][i] != NULL; i++)
        if (strcmp(words[kind][i], own) != 0)
            names[n++] = words[kind][i];
    names[n] = NULL;
    return n;
}

int vrt_split_synonyms(const char *split, const char *names[VRT_SPLIT_NAMES])
{
    names[0] = split;
    return add_words(kind_of(split), split, names, 1);
}

void vrt_split_names(const char *split, const char *names[VRT_SPLIT_NAMES])
{
    static const enum vrt_split_kind stand_in[] = {
        [VRT_SPLIT_TRAIN] = VRT_SPLIT_OTHER,
        [VRT_SPLIT_VAL] = VRT_SPLIT_TEST,
        [VRT_SPLIT_TEST] = VRT_SPLIT_VAL,
        [VRT_SPLIT_OTHER] = VRT_SPLIT_OTHER,
    };

    add_words(stand_in[kind_of(split)], split, names, vrt_split_synonyms(split, names));
}

bool vrt_split_is_stand_in(const char *found, const char *asked)
{
    return kind_of(asked) == VRT_SPLIT_VAL && kind_of(found) == VRT_SPLIT_TEST;
}
