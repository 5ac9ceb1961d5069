/* Text that people see and paste: see show.h. */
#include "runtime/base/show.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

size_t vrt_utf8(const char *text, uint32_t *c)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *s = (const unsigned char *)text;
    size_t n = s[0] < 0x80             ? s[0] != 0
               : (s[0] & 0xe0) == 0xc0 ? 2
               : (s[0] & 0xf0) == 0xe0 ? 3
               : (s[0] & 0xf8) == 0xf0 ? 4
                                       : 0;

    *c = n > 1 ? s[0] & (0xffu >> (n + 1)) : s[0];
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        *c = *c << 6 | (s[i] & 0x3f);
    }
    return *c >= least[n] && *c < 0x110000 && (*c < 0xd800 || *c > 0xdfff) ? n : 0;
}

/* C0, C1, marks of direction and what embeds, overrides or isolates one, ends of lines, and what is
 * no character at all. */
static bool acts(uint32_t c)
{
    return c < ' ' || (c >= 0x7f && c < 0xa0) || c == 0x61c || c == 0x200e || c == 0x200f ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfffe ||
           c == 0xffff;
}

size_t vrt_show(const char *text, char shown[VRT_SHOWN])
{
    uint32_t c;
    size_t n = vrt_utf8(text, &c);

    if (n <= 1 && (n == 0 || acts(c)))
        snprintf(shown, VRT_SHOWN, "\\x%02x", (unsigned char)*text);
    else if (acts(c))
        snprintf(shown, VRT_SHOWN, "\\u%04x", (unsigned)c & 0xffff);
    else
        snprintf(shown, VRT_SHOWN, "%.*s", (int)n, text);
    return n > 0 ? n : 1;
}

const char *vrt_show_text(char *out, size_t size, const char *text)
{
    char shown[VRT_SHOWN];
    size_t used = 0;

    out[0] = '\0';
    while (*text != '\0') {
        text += vrt_show(text, shown);
        size_t n = strlen(shown);
        if (used + n >= size)
            break;
        memcpy(out + used, shown, n + 1);
        used += n;
    }
    return out;
}

/* Adds to a text of `size` bytes, of which `used` are wanted so far; returns how many are now. */
static size_t add(char *out, size_t size, size_t used, const char *more, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (used + i + 1 < size)
            out[used + i] = more[i];
    return used + n;
}

static bool is_plain(const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_@+:,./-";
    return *word != '\0' && word[strspn(word, plain)] == '\0';
}

static bool is_shown(const char *word)
{
    char shown[VRT_SHOWN];

    for (size_t n; *word != '\0'; word += n) {
        n = vrt_show(word, shown);
        if (strncmp(word, shown, n) != 0 || shown[n] != '\0')
            return false;
    }
    return true;
}

/* 'it'\''s' */
static size_t quote_shown(char *out, size_t size, const char *word)
{
    size_t used = add(out, size, 0, "'", 1);

    for (; *word != '\0'; word++)
        used = *word == '\'' ? add(out, size, used, "'\\''", 4) : add(out, size, used, word, 1);
    return add(out, size, used, "'", 1);
}

/* $'a\033b' */
static size_t quote_bytes(char *out, size_t size, const char *word)
{
    char shown[VRT_SHOWN], octal[8];
    size_t used = add(out, size, 0, "$'", 2);

    for (size_t n; *word != '\0'; word += n) {
        n = vrt_show(word, shown);
        bool same = strncmp(word, shown, n) == 0 && *word != '\'' && *word != '\\';
        for (size_t i = 0; i < n && !same; i++) {
            snprintf(octal, sizeof octal, "\\%03o", (unsigned char)word[i]);
            used = add(out, size, used, octal, 4);
        }
        used = same ? add(out, size, used, word, n) : used;
    }
    return add(out, size, used, "'", 1);
}

const char *vrt_quote(char *out, size_t size, const char *word)
{
    size_t n = is_plain(word)   ? add(out, size, 0, word, strlen(word))
               : is_shown(word) ? quote_shown(out, size, word)
                                : quote_bytes(out, size, word);

    out[n < size ? n : size - 1] = '\0';
    return out;
}
