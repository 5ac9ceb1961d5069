/* See network.h. A frozen spec has a layer or a value on each line, all defaults written out and
 * blocks expanded, so networks of one shape differ line by line. */
#include "runtime/io/network.h"

#include <stdio.h>
#include <string.h>

enum { SHOWN = 3, LINE_SHOWN = 160 };

struct line {
    const char *at;
    size_t length;
};

/* Lines that do not say what a trained network computes begin so; a layer may have a label
 * before. */
static const char *const quiet[] = {"vmoe",    "model",     "stage",  "placed",
                                    "rule",    "classes",   "noise",  "capacity",
                                    "balance", "drop_path", "dropout"};

static bool begins(const struct line *l, size_t at, const char *word)
{
    size_t n = strlen(word);
    return l->length >= at + n && memcmp(l->at + at, word, n) == 0 &&
           (l->length == at + n || strchr(" (", l->at[at + n]) != NULL);
}

static bool first_word(const struct line *l, const char *word)
{
    const char *equals = memchr(l->at, '=', l->length);
    size_t label = equals != NULL ? (size_t)(equals - l->at) + 2 : 0;
    return begins(l, 0, word) || (label > 0 && begins(l, label, word));
}

static bool counts(const struct line *l, bool input_only)
{
    bool told = l->length > 0 && l->at[0] != '}' && (!input_only || first_word(l, "input"));
    for (size_t i = 0; told && i < sizeof quiet / sizeof *quiet; i++)
        told = !first_word(l, quiet[i]);
    return told;
}

/* The next line that counts, without its indentation; length 0: there is none. */
static struct line next_line(const char **text, bool input_only)
{
    while (**text != '\0') {
        struct line l = {.at = *text + strspn(*text, " ")};
        l.length = strcspn(l.at, "\n");
        *text = l.at + l.length + (l.at[l.length] == '\n');
        if (counts(&l, input_only))
            return l;
    }
    return (struct line){"", 0};
}

static bool equal(const struct line *a, const struct line *b)
{
    return a->length == b->length && memcmp(a->at, b->at, a->length) == 0;
}

static size_t count_lines(const char *text, bool input_only)
{
    size_t n = 0;
    while (next_line(&text, input_only).length > 0)
        n++;
    return n;
}

static void tell(char *text, size_t size, const struct line *l, const char *before,
                 const char *where)
{
    size_t used = strlen(text);
    if (l->length > 0)
        snprintf(text + used, size - used, "%s`%.*s` %s", before,
                 (int)(l->length < LINE_SHOWN ? l->length : LINE_SHOWN), l->at, where);
    else
        snprintf(text + used, size - used, "%snothing %s", before, where);
}

/* Layers of one kind differ alike, so a pair of lines is told once. Of networks with other layers
 * only the first difference says something. */
bool vrt_network_differs(const char *there, const char *here, bool input_only, char *text,
                         size_t size)
{
    struct line a, b, told[2] = {{"", 0}, {"", 0}};
    int shown = 0,
        most = count_lines(there, input_only) == count_lines(here, input_only) ? SHOWN : 1;
    text[0] = '\0';
    do {
        a = next_line(&there, input_only);
        b = next_line(&here, input_only);
        if (equal(&a, &b) || (shown > 0 && equal(&a, &told[0]) && equal(&b, &told[1])))
            continue;
        tell(text, size, &a, shown > 0 ? "; " : "", "there");
        tell(text, size, &b, ", ", "here");
        told[0] = a;
        told[1] = b;
        shown++;
    } while (shown < most && (a.length > 0 || b.length > 0));
    return shown > 0;
}

char *vrt_network_text(const char *spec)
{
    static const char begin[] = "\nmodel ", end[] = "\n}\n";
    const char *from = strstr(spec, begin), *to = from != NULL ? strstr(from, end) : NULL;
    return to != NULL ? strndup(from + 1, (size_t)(to - from) + strlen(end) - 1) : strdup("");
}
