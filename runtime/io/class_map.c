/* Reading a map of classes: see class_map.h. */
#include "runtime/io/class_map.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/base/file.h"

#define MAX_TEXT (1 << 28)

/* The first word of each line; an empty line may only stand at the end. */
static bool take_lines(struct vrt_class_map *m, struct vrt_error *e)
{
    char *line = (char *)m->text.data, *end;
    int64_t room = 1, number = 0, last = 0;

    for (size_t i = 0; i < m->text.size; i++)
        room += line[i] == '\n';
    m->names = calloc((size_t)room, sizeof *m->names);
    if (m->names == NULL)
        return vrt_fail(e, VRT_NO_MEMORY, "no memory to read %s", m->path);
    for (; *line != '\0'; line = end) {
        end = line + strcspn(line, "\n");
        end += *end == '\n' ? (*end = '\0', 1) : 0;
        line += strspn(line, " \t\r");
        line[strcspn(line, " \t\r")] = '\0';
        number++;
        if (*line == '\0')
            continue;
        if (last != number - 1)
            return vrt_fail(
                e, VRT_BAD_INPUT,
                "%s:%lld: the line before it is empty, so lines and classes would not meet",
                m->path, (long long)number);
        last = number;
        m->names[m->count++] = line;
    }
    return m->count > 0 ||
           vrt_fail(
               e, VRT_BAD_INPUT,
               "%s is empty; it holds the number of an output for each class of the data, or the "
               "name of each output",
               m->path);
}

static bool all_digits(const char *s)
{
    return s[strspn(s, "0123456789")] == '\0';
}

static bool take_numbers(struct vrt_class_map *m, int64_t outputs, struct vrt_error *e)
{
    int64_t *line = calloc((size_t)outputs + 1, sizeof *line);
    bool ok = true;

    m->outputs = calloc((size_t)m->count, sizeof *m->outputs);
    if (line == NULL || m->outputs == NULL)
        ok = vrt_fail(e, VRT_NO_MEMORY, "no memory to read %s", m->path);
    for (int64_t i = 0; ok && i < m->count; i++) {
        const char *word = m->names[i];
        int64_t number = all_digits(word) && strlen(word) < 10 ? strtoll(word, NULL, 10) : outputs;
        if (number >= outputs)
            ok = vrt_fail(e, VRT_BAD_INPUT,
                          "%s:%lld: `%.40s` is no output of the weights, 0 to %lld", m->path,
                          (long long)i + 1, word, (long long)outputs - 1);
        else if (line[number] > 0)
            ok = vrt_fail(e, VRT_BAD_INPUT, "%s: lines %lld and %lld are the same output, %lld",
                          m->path, (long long)line[number], (long long)i + 1, (long long)number);
        else {
            line[number] = i + 1;
            m->outputs[i] = (int32_t)number;
        }
    }
    free(line);
    free(m->names);
    m->names = NULL;
    return ok;
}

static int by_text(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static bool check_names(const struct vrt_class_map *m, int64_t outputs, struct vrt_error *e)
{
    const char **sorted;
    bool ok = true;

    if (m->count != outputs)
        return vrt_fail(
            e, VRT_BAD_INPUT,
            "%s has %lld names, but the weights have %lld outputs; give a line to each, "
            "in their order",
            m->path, (long long)m->count, (long long)outputs);
    sorted = calloc((size_t)m->count, sizeof *sorted);
    if (sorted == NULL)
        return vrt_fail(e, VRT_NO_MEMORY, "no memory to read %s", m->path);
    memcpy(sorted, m->names, (size_t)m->count * sizeof *sorted);
    qsort(sorted, (size_t)m->count, sizeof *sorted, by_text);
    for (int64_t i = 1; ok && i < m->count; i++)
        if (strcmp(sorted[i - 1], sorted[i]) == 0)
            ok = vrt_fail(e, VRT_BAD_INPUT, "%s has two lines `%.100s`", m->path, sorted[i]);
    free(sorted);
    return ok;
}

bool vrt_class_map_read(struct vrt_class_map *m, const char *path, int64_t outputs,
                        struct vrt_error *e)
{
    *m = (struct vrt_class_map){.path = path, .natural = strcmp(path, "natural") == 0};
    if (m->natural)
        return true;
    if (!vrt_file_read_text(path, MAX_TEXT, &m->text, e))
        return false;
    if (memchr(m->text.data, 0, m->text.size) != NULL)
        return vrt_fail(e, VRT_BAD_INPUT, "%s has bytes of 0: it is not a text", path);
    if (!take_lines(m, e))
        return false;
    return all_digits(m->names[0]) ? take_numbers(m, outputs, e) : check_names(m, outputs, e);
}

void vrt_class_map_free(struct vrt_class_map *m)
{
    free(m->outputs);
    free(m->names);
    vrt_buffer_free(&m->text);
    *m = (struct vrt_class_map){0};
}
