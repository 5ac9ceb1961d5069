/* check_page FILE: exit status 0 if the page is well-formed and loads nothing; else it says what is
 * wrong and where. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/strict_page.h"

int main(int argc, char **argv)
{
    FILE *f = argc == 2 ? fopen(argv[1], "rb") : NULL;
    if (f == NULL || fseek(f, 0, SEEK_END) != 0) {
        fprintf(stderr, "check_page: cannot read %s\n", argc == 2 ? argv[1] : "(one file, please)");
        return 2;
    }
    long size = ftell(f);
    char *text = calloc((size_t)size + 1, 1);
    rewind(f);
    if (text == NULL || fread(text, 1, (size_t)size, f) != (size_t)size)
        return 2;
    size_t at;
    const char *fault = strict_page_fault(text, &at);
    if (fault != NULL)
        printf("byte %zu: %s: %.60s\n", at, fault, text + at);
    free(text);
    fclose(f);
    return fault != NULL;
}
