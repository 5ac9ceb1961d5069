/* What to say about words that the command line does not take: what may have been meant, or how to
 * rebuild the program. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/show.h"
#include "runtime/program/flags.h"
#include "runtime/program/suggest.h"

/* Things of the network that people look for among the flags. */
static const char *const static_words[] = {
    "experts",  "top_k", "capacity", "group", "router",    "expert",     "classes",
    "dim",      "depth", "heads",    "width", "height",    "image_size", "img_size",
    "channels", "model", "patch",    "at",    "placement", "dropout",
};

/* Optimal string alignment: insertions, deletions, changes and swaps of neighbours, on words of at
 * most 40 letters. */
static unsigned distance(const char *a, const char *b)
{
    enum { MAX = 40 };
    size_t n = strlen(a), m = strlen(b);
    unsigned d[MAX + 1][MAX + 1];
    if (n > MAX || m > MAX)
        return MAX;
    for (size_t i = 0; i <= n; i++)
        for (size_t j = 0; j <= m; j++) {
            if (i == 0 || j == 0) {
                d[i][j] = (unsigned)(i + j);
                continue;
            }
            unsigned best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            best = d[i - 1][j] + 1 < best ? d[i - 1][j] + 1 : best;
            best = d[i][j - 1] + 1 < best ? d[i][j - 1] + 1 : best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                d[i - 2][j - 2] + 1 < best)
                best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    return d[n][m];
}

const char *vrt_nearest(const char *word, const char *const *names, size_t n)
{
    size_t length = strlen(word);
    unsigned limit = length < 6 ? 2 : (unsigned)(length / 3), best = limit + 1;
    const char *found = NULL;
    for (size_t i = 0; i < n; i++) {
        unsigned d = distance(word, names[i]);
        if (d < best && d < length) {
            best = d;
            found = names[i];
        }
    }
    return found;
}

static bool same_word(const char *a, const char *b)
{
    for (; *a != '\0' && (*a == *b || (*a == '-' && *b == '_') || (*a == '_' && *b == '-')); a++)
        b++;
    return *a == *b;
}

static const char *last_part(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot == NULL ? path : dot + 1;
}

static const char *const spec_unit[] = {"",   " epochs", " steps", " images",
                                        "px", "GiB"}; /* as the language writes them */

bool vrt_reject_fixed(const struct vrt_program *p, const struct vrt_key *key, struct vrt_error *e)
{
    char value[200], file[VRT_WORD];
    const char *unit =
        key->unit > VRT_UNIT_NONE && key->unit <= VRT_UNIT_BYTES ? spec_unit[key->unit] : "";
    /* What kind a value is of is said by the call that it is written as. */
    bool kind = strcmp(last_part(key->path), "kind") == 0;
    int length = (int)strlen(key->path) - (kind ? (int)strlen(".kind") : 0);
    return vrt_fail(
        e, VRT_USAGE,
        "%s is fixed in this program (%s); rebuild it with\n  vmoec build %s --set '%.*s=VALUE%s'",
        key->path, vrt_flag_default(key, value, sizeof value),
        vrt_quote(file, sizeof file, p->spec_file), length, key->path, unit);
}

/* The value of a word that the program's tables know, "" for others. */
static const char *static_value(const struct vrt_program *p, const char *word, char text[64])
{
    const struct {
        const char *word;
        int64_t value;
    } known[] = {
        {"experts", p->nmoes > 0 ? p->moes[0].experts : 0},
        {"top_k", p->nmoes > 0 ? p->moes[0].top_k : 0},
        {"classes", p->classes},
        {"group", p->group},
        {"channels", p->channels},
        {"height", p->height},
        {"width", p->width},
        {"image_size", p->height},
        {"img_size", p->height},
    };
    text[0] = '\0';
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].word, word) == 0 && known[i].value > 0)
            snprintf(text, 64, " (%lld)", (long long)known[i].value);
    return text;
}

static bool reject_static_word(const struct vrt_program *p, const char *word, struct vrt_error *e)
{
    char value[64], file[VRT_WORD];
    return vrt_fail(
        e, VRT_USAGE,
        "%s is fixed in this program%s; change it in %s, or where the file has a parameter of "
        "that name:\n  vmoec build %s -D %s=VALUE",
        word, static_value(p, word, value), p->spec_file,
        vrt_quote(file, sizeof file, p->spec_file), word);
}

static bool suggest_flag(const struct vrt_options *o, const char *word, struct vrt_error *e)
{
    const struct vrt_program *p = o->program;
    unsigned bit = o->command != NULL ? o->command->bit : VRT_ALL;
    size_t n;
    const char **names = vrt_flag_names(p, bit, &n),
               *near = names != NULL ? vrt_nearest(word, names, n) : NULL;
    free(names);
    const char *command = o->command != NULL ? o->command->name : "";
    char program[VRT_WORD];
    if (near != NULL)
        return vrt_fail(e, VRT_USAGE, "there is no flag --%s; did you mean --%s?", word, near);
    return vrt_fail(e, VRT_USAGE, "there is no flag --%s; see %s %s%s--help", word,
                    vrt_quote(program, sizeof program, o->argv[0]), command, *command ? " " : "");
}

/* One of these commands, by name. */
static const char *some_command(unsigned commands)
{
    return commands & VRT_TRAIN        ? "train"
           : commands & VRT_EVAL       ? "eval"
           : commands & VRT_PREDICT    ? "predict"
           : commands & VRT_BENCH      ? "bench"
           : commands & VRT_CHECK_DATA ? "check-data"
                                       : "report";
}

bool vrt_reject_flag(const struct vrt_options *o, const char *word, struct vrt_error *e)
{
    const struct vrt_program *p = o->program;
    const struct vrt_key *key = vrt_flag_key(p, word);
    char program[VRT_WORD];
    vrt_quote(program, sizeof program, o->argv[0]);
    for (int64_t i = 0; key == NULL && i < p->nkeys; i++)
        if (same_word(last_part(p->keys[i].path), word))
            key = &p->keys[i];
    if (key != NULL && !key->runtime)
        return vrt_reject_fixed(p, key, e);
    for (size_t i = 0; i < sizeof static_words / sizeof *static_words; i++)
        if (key == NULL && same_word(static_words[i], word))
            return reject_static_word(p, static_words[i], e);
    const struct vrt_flag *flag = vrt_flag_find(word, VRT_ALL);
    if (o->command == NULL && (flag != NULL || vrt_flag_key(p, word) != NULL))
        return vrt_fail(e, VRT_USAGE, "--%s stands after a command, as in %s %s --%s ...", word,
                        program, some_command(flag != NULL ? flag->commands : VRT_TRAIN), word);
    if (o->command == NULL && key != NULL)
        return vrt_fail(e, VRT_USAGE, "there is no flag --%s; write %s train --set %s=VALUE", word,
                        program, key->path);
    if (key != NULL && vrt_flag_commands(key) & o->command->bit & VRT_SET_COMMANDS)
        return vrt_fail(e, VRT_USAGE, "there is no flag --%s here; write --set %s=VALUE", word,
                        key->path);
    if (key != NULL || flag != NULL)
        return vrt_fail(e, VRT_USAGE, "%s has no flag --%s; see %s %s --help", o->command->name,
                        word, program, o->command->name);
    return suggest_flag(o, word, e);
}

bool vrt_reject_path(const struct vrt_program *p, const char *path, struct vrt_error *e)
{
    const char **names = calloc((size_t)p->nkeys + 1, sizeof *names), *near = NULL;
    char file[VRT_WORD], key[400];
    size_t n = 0;
    for (int64_t i = 0; names != NULL && i < p->nkeys; i++)
        names[n++] = p->keys[i].path;
    if (names != NULL)
        near = vrt_nearest(path, names, n);
    free(names);
    return vrt_fail(
        e, VRT_USAGE,
        "there is no key %.100s%s%s%s; it may be one of the network, which is fixed in this "
        "program: rebuild it with\n  vmoec build %s --set %s=VALUE",
        path, near ? " (did you mean " : "", near ? near : "", near ? "?)" : "",
        vrt_quote(file, sizeof file, p->spec_file), vrt_quote(key, sizeof key, path));
}
