/* Renaming: see rename.h. In a pattern `#` stands for a number, which goes into the next `#` of the
 * new name; a pattern that ends in a dot is a beginning, any other one a whole name. */
#include "runtime/io/rename.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBERS = 4, NAME_SIZE = 1024 };

enum { PWCONV, GAMMA, NORM };

/* A tool, and a part of names that only its files have. */
static const struct {
    const char *sign, *title;
    bool fine_tunes;
} tools[VRT_RENAME_TOOLS] = {
    [PWCONV] = {".dwconv.", "names of a first repository (dwconv, pwconv1, pwconv2)", false},
    [GAMMA] = {".gamma_1", "names of a first repository (gamma_1, gamma_2)", false},
    [NORM] = {"norm.", "the last norm under timm's other name", true},
};

/* The first row whose pattern matches and whose new name has a neighbour in the program holds. */
static const struct {
    int tool;
    const char *from, *to;
} rules[] = {
    {PWCONV, "downsample_layers.0.#.", "stem.#."},
    {PWCONV, "downsample_layers.#.#.", "stages.#.downsample.#."},
    {PWCONV, "stages.#.#.dwconv.", "stages.#.blocks.#.conv_dw."},
    {PWCONV, "stages.#.#.pwconv1.", "stages.#.blocks.#.mlp.fc1."},
    {PWCONV, "stages.#.#.pwconv2.", "stages.#.blocks.#.mlp.fc2."},
    {PWCONV, "stages.#.#.", "stages.#.blocks.#."},
    {PWCONV, "blocks.#.dwconv.", "blocks.#.conv_dw."},
    {PWCONV, "blocks.#.pwconv1.", "blocks.#.mlp.fc1."},
    {PWCONV, "blocks.#.pwconv2.", "blocks.#.mlp.fc2."},
    {PWCONV, "norm.", "head.norm."},
    {PWCONV, "head.", "head.fc."},
    {GAMMA, "blocks.#.gamma_1", "blocks.#.ls1.gamma"},
    {GAMMA, "blocks.#.gamma_2", "blocks.#.ls2.gamma"},
    {NORM, "norm.", "fc_norm."},
    {NORM, "fc_norm.", "norm."},
};
enum { NRULES = sizeof rules / sizeof *rules };

/* What wrappers of models put before every name. */
static const char *const wrappers[] = {"module.", "model.", "_orig_mod."};

/* The first name that is not below `name`. */
static size_t lower_bound(const struct vrt_names *set, const char *name)
{
    size_t low = 0, high = set->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(set->at[middle], name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool vrt_names_have(const struct vrt_names *set, const char *name)
{
    size_t i = lower_bound(set, name);
    return i < set->n && strcmp(set->at[i], name) == 0;
}

bool vrt_names_below(const struct vrt_names *set, const char *prefix)
{
    size_t i = lower_bound(set, prefix);
    return i < set->n && strncmp(set->at[i], prefix, strlen(prefix)) == 0;
}

const char *vrt_rename_wrapper(const struct vrt_names *program, const char *const *names, size_t n,
                               size_t skip)
{
    for (size_t w = 0; n > 0 && w < sizeof wrappers / sizeof *wrappers; w++) {
        size_t with = 0;
        while (with < n && strncmp(names[with] + skip, wrappers[w], strlen(wrappers[w])) == 0)
            with++;
        if (with == n && !vrt_names_below(program, wrappers[w]))
            return wrappers[w];
    }
    return "";
}

unsigned vrt_rename_signs(unsigned seen, const char *name)
{
    for (unsigned i = 0; i < VRT_RENAME_TOOLS; i++)
        if (strstr(name, tools[i].sign) != NULL)
            seen |= 1u << i;
    return seen;
}

struct number {
    const char *text;
    int length;
};

/* What follows the pattern in `name`, NULL if it does not match. */
static const char *match(const char *pattern, const char *name, struct number numbers[NUMBERS])
{
    int n = 0;
    bool whole = pattern[strlen(pattern) - 1] != '.'; /* no rule has an empty one */
    for (; *pattern != '\0'; pattern++) {
        if (*pattern != '#') {
            if (*name++ != *pattern)
                return NULL;
            continue;
        }
        numbers[n] = (struct number){name, (int)strspn(name, "0123456789")};
        if (numbers[n].length == 0)
            return NULL;
        name += numbers[n++].length;
    }
    return whole && *name != '\0' ? NULL : name;
}

/* Write `to` with its numbers, then the rest; false if it does not fit. *near: bytes up to the last
 * number, or without one up to the last dot: names that share them stand side by side. */
static bool expand(const char *to, const struct number *numbers, const char *rest, char *out,
                   size_t size, size_t *near)
{
    size_t used = 0;
    *near = 0;
    for (int n = 0; *to != '\0'; to++) {
        int length = *to == '#' ? numbers[n].length : 1;
        if (used + (size_t)length + 1 >= size)
            return false;
        memcpy(out + used, *to == '#' ? numbers[n].text : to, (size_t)length);
        used += (size_t)length;
        n += *to == '#';
        *near = *to == '#' || (n == 0 && *to == '.') ? used : *near;
    }
    return snprintf(out + used, size - used, "%s", rest) < (int)(size - used);
}

int vrt_rename(const struct vrt_names *program, unsigned seen, const char *name, char *out,
               size_t size)
{
    for (int i = 0; i < NRULES; i++) {
        struct number numbers[NUMBERS];
        char beside[NAME_SIZE];
        size_t near;
        const char *rest = seen & 1u << rules[i].tool ? match(rules[i].from, name, numbers) : NULL;
        if (rest == NULL || !expand(rules[i].to, numbers, rest, out, size, &near) ||
            near + 1 >= sizeof beside)
            continue;
        snprintf(beside, sizeof beside, "%.*s%s", (int)near, out, out[near - 1] == '.' ? "" : ".");
        if (vrt_names_below(program, beside))
            return rules[i].tool;
    }
    return -1;
}

const char *vrt_rename_title(int tool)
{
    return tools[tool].title;
}

bool vrt_rename_fine_tunes(int tool)
{
    return tools[tool].fine_tunes;
}
