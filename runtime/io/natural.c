/* See natural.h. A name is a list, as timm's natural_key has it: text, number, text, number, ..;
 * texts are compared whole, so that what follows a number does not count before the number does. */
#include "runtime/io/natural.h"

#include <stdlib.h>
#include <string.h>

static const char digits[] = "0123456789";

static int compare_lengths(size_t a, size_t b)
{
    return (a > b) - (a < b);
}

static unsigned char small(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

/* The texts at the beginning of both, which are passed over. */
static int compare_texts(const char **a, const char **b)
{
    size_t n = strcspn(*a, digits), m = strcspn(*b, digits), i = 0;
    const char *x = *a, *y = *b;
    *a += n;
    *b += m;
    while (i < n && i < m && small(x[i]) == small(y[i]))
        i++;
    return i < n && i < m ? small(x[i]) - small(y[i]) : compare_lengths(n, m);
}

/* The same of numbers, of any size. */
static int compare_numbers(const char **a, const char **b)
{
    const char *x = *a + strspn(*a, "0"), *y = *b + strspn(*b, "0");
    size_t n = strspn(x, digits), m = strspn(y, digits);
    *a = x + n;
    *b = y + m;
    return n == m ? memcmp(x, y, n) : compare_lengths(n, m);
}

int vrt_natural_compare(const char *a, const char *b)
{
    int order = compare_texts(&a, &b);
    while (order == 0 && *a != '\0' && *b != '\0') {
        order = compare_numbers(&a, &b);
        order = order != 0 ? order : compare_texts(&a, &b);
    }
    return order != 0 ? order : (*a != '\0') - (*b != '\0');
}

struct place {
    const char *name;
    int64_t place;
};

static int by_name(const void *left, const void *right)
{
    const struct place *a = left, *b = right;
    int order = vrt_natural_compare(a->name, b->name);
    return order != 0 ? order : (a->place > b->place) - (a->place < b->place);
}

bool vrt_natural_order(const char *const *names, int64_t n, int64_t *places)
{
    struct place *sorted = calloc((size_t)n + 1, sizeof *sorted);
    if (sorted == NULL)
        return false;
    for (int64_t i = 0; i < n; i++)
        sorted[i] = (struct place){names[i], i};
    qsort(sorted, (size_t)n, sizeof *sorted, by_name);
    for (int64_t i = 0; i < n; i++)
        places[i] = sorted[i].place;
    free(sorted);
    return true;
}
