/* A strict reader of a page that wants to be self-contained: well-formed XML, and nothing in it
 * that a browser would fetch. */
#ifndef TESTS_UNIT_STRICT_PAGE_H
#define TESTS_UNIT_STRICT_PAGE_H

#include <stddef.h>

/* What is wrong with the page, NULL if nothing is. *at: the byte where. `text` ends with a zero
 * byte. */
const char *strict_page_fault(const char *text, size_t *at);

#endif
