/* One pass over the text with a stack of open elements: see strict_page.h. Script and style sheet
 * are searched for whatever loads something; text between tags may say anything. */
#include "tests/unit/strict_page.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

enum { DEPTH = 64, NAME = 32, ATTRIBUTES = 32 };

struct reader {
    const char *at;
    const char *fault;
    char open[DEPTH][NAME];
    size_t depth;
};

static bool fail(struct reader *r, const char *fault)
{
    r->fault = r->fault != NULL ? r->fault : fault;
    return false;
}

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static bool read_name(struct reader *r, char name[NAME])
{
    size_t n = 0;
    while (isalnum((unsigned char)r->at[n]) || r->at[n] == '-' || r->at[n] == ':')
        n++;
    if (n == 0 || n >= NAME || !isalpha((unsigned char)*r->at))
        return fail(r, "a name is missing");
    memcpy(name, r->at, n);
    name[n] = '\0';
    r->at += n;
    return true;
}

/* One character of text or of an attribute. */
static bool read_character(struct reader *r)
{
    static const char *const references[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};
    const unsigned char *s = (const unsigned char *)r->at;
    if (*s == '&') {
        for (size_t i = 0; i < sizeof references / sizeof *references; i++)
            if (begins(r->at, references[i])) {
                r->at += strlen(references[i]);
                return true;
            }
        return fail(r, "an & that begins no reference");
    }
    if (*s < ' ' && *s != '\n' && *s != '\t')
        return fail(r, "a control character");
    size_t n = *s < 0x80                 ? 1
               : *s >= 0xc2 && *s < 0xe0 ? 2
               : *s >= 0xe0 && *s < 0xf0 ? 3
               : *s >= 0xf0 && *s < 0xf5 ? 4
                                         : 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            n = 0;
    if (n == 0 || (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
        (s[0] == 0xf0 && s[1] < 0x90))
        return fail(r, "bad UTF-8");
    r->at += n;
    return true;
}

static bool read_attribute(struct reader *r, char name[NAME])
{
    if (!read_name(r, name) || !begins(r->at, "=\""))
        return fail(r, "an attribute without a quoted value");
    r->at += 2;
    const char *value = r->at;
    while (*r->at != '"')
        if (*r->at == '<' || *r->at == '\0')
            return fail(r, "an attribute that does not end");
        else if (!read_character(r))
            return false;
    size_t n = (size_t)(r->at++ - value);
    if (strcmp(name, "src") == 0 || strcmp(name, "srcset") == 0 || strcmp(name, "data") == 0 ||
        begins(name, "on") || begins(name, "xmlns") ||
        (strstr(name, "href") != NULL && *value != '#') || memmem(value, n, "url(", 4) != NULL)
        return fail(r, "an attribute that loads or runs something");
    return true;
}

/* The content of a style or a script, in CDATA. */
static bool read_code(struct reader *r, const char *name)
{
    static const char *const fetching[] = {"url(",    "@import", "http",      "fetch",
                                           "import(", "XMLHttp", "WebSocket", "</"};
    const char *end = strstr(r->at, "]]>"), *close = strstr(r->at, "</");
    if (strstr(r->at, "<![CDATA[") == NULL || strstr(r->at, "<![CDATA[") > r->at + 8 ||
        end == NULL || close == NULL || close < end)
        return fail(r, "code outside of CDATA");
    for (size_t i = 0; i < sizeof fetching / sizeof *fetching; i++)
        if (memmem(r->at, (size_t)(end - r->at), fetching[i], strlen(fetching[i])) != NULL)
            return fail(r, fetching[i]);
    r->at = close + 2;
    if (!begins(r->at, name) || r->at[strlen(name)] != '>')
        return fail(r, "code that is not closed");
    r->at += strlen(name) + 1;
    return true;
}

static bool read_element(struct reader *r)
{
    static const char *const forbidden[] = {"link", "img",   "iframe", "object", "embed",
                                            "base", "image", "use",    "form"};
    char name[NAME], attributes[ATTRIBUTES][NAME];
    size_t n = 0;
    if (!read_name(r, name))
        return false;
    for (size_t i = 0; i < sizeof forbidden / sizeof *forbidden; i++)
        if (strcmp(name, forbidden[i]) == 0)
            return fail(r, "an element that loads something");
    while (isspace((unsigned char)*r->at)) {
        r->at += strspn(r->at, " \n");
        if (n == ATTRIBUTES || !read_attribute(r, attributes[n]))
            return fail(r, "too many attributes");
        for (size_t i = 0; i < n; i++)
            if (strcmp(attributes[i], attributes[n]) == 0)
                return fail(r, "an attribute twice");
        n++;
    }
    if (begins(r->at, "/>")) {
        r->at += 2;
        return true;
    }
    if (*r->at++ != '>' || r->depth == DEPTH)
        return fail(r, "a tag that does not end");
    if (strcmp(name, "style") == 0 || strcmp(name, "script") == 0)
        return read_code(r, name);
    strcpy(r->open[r->depth++], name);
    return true;
}

static bool read_close(struct reader *r)
{
    char name[NAME];
    if (!read_name(r, name) || *r->at++ != '>')
        return fail(r, "a closing tag that does not end");
    return (r->depth > 0 && strcmp(r->open[--r->depth], name) == 0) ||
           fail(r, "a closing tag that closes something else");
}

const char *strict_page_fault(const char *text, size_t *at)
{
    static const char type[] = "<!DOCTYPE html>\n";
    struct reader r = {.at = text};
    bool ok = begins(text, type) || fail(&r, "no document type");
    r.at += ok ? sizeof type - 1 : 0;
    while (ok && *r.at != '\0') {
        if (*r.at != '<')
            ok = read_character(&r);
        else if (r.at[1] == '/') {
            r.at += 2;
            ok = read_close(&r);
        } else {
            r.at++;
            ok = read_element(&r);
        }
    }
    *at = (size_t)(r.at - text);
    if (ok && r.depth > 0)
        ok = fail(&r, "the page ends early");
    return ok ? NULL : r.fault;
}
