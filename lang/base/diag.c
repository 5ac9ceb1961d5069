/* Diagnostics. Input: reports of the passes. Output: text with the line and a caret under the
 * place, or one JSON object a line. The same report at the same place is printed once, however
 * often a block is expanded. */
#include "lang/base/diag.h"

#include <string.h>

#include "lang/base/arena.h"
#include "lang/base/text.h"

enum severity { SEVERITY_error, SEVERITY_warning };

static const struct {
    const char *code, *summary;
    enum severity severity;
} rows[] = {
#define DIAG(code, name, severity, summary) {code, summary, SEVERITY_##severity},
#include "lang/base/diag.def"
#undef DIAG
};

static const char *const level_text[] = {"error", "warning"};

struct note {
    struct loc loc;
    const char *text;
    bool help;
};

struct diag {
    struct arena *arena;
    FILE *out;
    enum diag_format format;
    unsigned limit, errors, warnings;
    bool open;    /* a report waits for its notes */
    bool dropped; /* the last report was a repetition: its notes are, too */
    enum diag_code code;
    struct loc loc;
    const char *message, *fix;
    struct note *notes;
    size_t nnotes, notes_cap;
    struct replaced {
        struct loc loc, with;
        const char *by;
    } *replaced;
    size_t nreplaced, replaced_cap;
    struct seen {
        enum diag_code code;
        struct loc loc;
    } *seen;
    size_t nseen, seen_cap;
};

struct diag *diag_new(struct arena *a, FILE *out, enum diag_format format, unsigned limit)
{
    struct diag *d = arena_alloc(a, sizeof *d);
    d->arena = a;
    d->out = out;
    d->format = format;
    d->limit = limit ? limit : 1;
    return d;
}

/* A quoted name may come from a hostile file: keep the text to one readable line. */
static const char *shown_text(struct arena *a, const char *text)
{
    size_t left = strlen(text), used = 0, n;
    char *out = arena_alloc(a, left * (TEXT_SHOWN - 1) + TEXT_SHOWN);
    for (; left; text += n, left -= n) {
        n = text_show(text, left, out + used);
        used += strlen(out + used);
    }
    return out;
}

static const char *format_text(struct arena *a, const char *format, va_list args)
{
    char buffer[1024];
    size_t n = sizeof buffer - 1;
    if (vsnprintf(buffer, sizeof buffer, format, args) > (int)n) { /* to the last whole character */
        while (n > 1 && ((unsigned char)buffer[n - 1] & 0xc0) == 0x80)
            n--;
        buffer[n - 1] = '\0';
    }
    return shown_text(a, buffer);
}

static bool has_place(struct loc loc)
{
    return loc.src && loc.src->path;
}

/* A message about a value that has no place still differs from the next one by its text. */
static bool is_repeated(struct diag *d, enum diag_code code, struct loc loc)
{
    if (!has_place(loc))
        return false;
    for (size_t i = 0; i < d->nseen; i++) {
        const struct seen *s = &d->seen[i];
        if (s->code == code && s->loc.src == loc.src && s->loc.begin == loc.begin &&
            s->loc.end == loc.end)
            return true;
    }
    *ARENA_PUSH(d->arena, d->seen, d->nseen, d->seen_cap) = (struct seen){code, loc};
    return false;
}

void diag_report(struct diag *d, enum diag_code code, struct loc loc, const char *format, ...)
{
    diag_flush(d);
    d->dropped = diag_full(d) || is_repeated(d, code, loc);
    if (rows[code].severity == SEVERITY_warning && d->warnings >= d->limit)
        d->dropped = true;
    if (d->dropped)
        return;
    va_list args;
    va_start(args, format);
    d->message = format_text(d->arena, format, args);
    va_end(args);
    if (rows[code].severity == SEVERITY_error)
        d->errors++;
    else
        d->warnings++;
    d->open = true;
    d->code = code;
    d->loc = loc;
    d->fix = NULL;
    d->nnotes = 0;
}

static void add_note(struct diag *d, struct loc loc, bool help, const char *format, va_list args)
{
    if (d->dropped || !d->open)
        return;
    *ARENA_PUSH(d->arena, d->notes, d->nnotes, d->notes_cap) =
        (struct note){loc, format_text(d->arena, format, args), help};
}

void diag_note(struct diag *d, struct loc loc, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add_note(d, loc, false, format, args);
    va_end(args);
}

void diag_help(struct diag *d, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add_note(d, (struct loc){0}, true, format, args);
    va_end(args);
}

void diag_fix(struct diag *d, const char *replacement)
{
    if (d->dropped || !d->open)
        return;
    d->fix = arena_copy(d->arena, replacement, strlen(replacement));
}

#define LINE_SHOWN 160

/* A character of a source line, or as many marks as it takes columns; its bytes. A tab stays one,
 * but for carets. */
static size_t put_character(FILE *out, const char *text, size_t len, char mark)
{
    char shown[TEXT_SHOWN];
    size_t n = text_show(text, len, shown);
    if (*text == '\t' && mark != '^')
        fputc('\t', out);
    else if (!mark)
        fputs(shown, out);
    else
        for (size_t i = 0, columns = strlen(shown) == n || *text == '\t' ? 1 : strlen(shown);
             i < columns; i++)
            fputc(mark, out);
    return n;
}

/* The source line of a place and a caret under the range, cut where lines are very long. */
static void print_excerpt(FILE *out, struct loc loc)
{
    uint32_t line, column;
    source_position(loc.src, loc.begin, &line, &column);
    const char *text = loc.src->text + loc.src->lines[line - 1];
    size_t len = strcspn(text, "\r\n"), at = column - 1,
           from = at > LINE_SHOWN / 2 ? at - LINE_SHOWN / 2 : 0;
    if (len <= LINE_SHOWN)
        from = 0;
    while (from && from < at && ((unsigned char)text[from] & 0xc0) == 0x80)
        from++; /* not in the middle of a character */
    size_t to = len > from + LINE_SHOWN ? from + LINE_SHOWN : len, n,
           end = at + (loc.end > loc.begin ? loc.end - loc.begin : 1);
    fprintf(out, "%5u | ", line);
    for (size_t i = from; i < to; i += n)
        n = put_character(out, text + i, len - i, 0);
    fputs("\n      | ", out);
    for (size_t i = from; i < at && i < to; i += n)
        n = put_character(out, text + i, len - i, ' ');
    for (size_t i = at; i < end && i < to; i += n)
        n = put_character(out, text + i, len - i, '^');
    fputs(at < to ? "\n" : "^\n", out);
}

static void print_place(FILE *out, const char *lead, struct loc loc)
{
    uint32_t line, column;
    source_position(loc.src, loc.begin, &line, &column);
    fputs(lead, out);
    text_write_shown(out, loc.src->path);
    fprintf(out, ":%u:%u\n", line, column);
    print_excerpt(out, loc);
}

static void print_text(struct diag *d)
{
    fprintf(d->out, "%s[%s]: %s\n", level_text[rows[d->code].severity], rows[d->code].code,
            d->message);
    if (has_place(d->loc))
        print_place(d->out, "  --> ", d->loc);
    for (size_t i = 0; i < d->nnotes; i++) {
        fprintf(d->out, "  = %s: %s\n", d->notes[i].help ? "help" : "note", d->notes[i].text);
        if (has_place(d->notes[i].loc))
            print_place(d->out, "  ::: ", d->notes[i].loc);
    }
    if (d->fix)
        fprintf(d->out, "  = help: write `%s` here\n", shown_text(d->arena, d->fix));
    fputc('\n', d->out);
}

static void json_string(FILE *out, const char *text)
{
    char shown[TEXT_SHOWN];
    fputc('"', out);
    for (size_t left = strlen(text), n; left; text += n, left -= n) {
        n = text_show(text, left, shown);
        if (*text == '"' || *text == '\\')
            fprintf(out, "\\%c", *text);
        else if (text_check_utf8(text, n) < n)
            fputs("\\ufffd", out); /* as JSON has no bytes */
        else if (shown[0] == '\\' && shown[1] == 'x')
            fprintf(out, "\\u00%s", shown + 2);
        else
            fputs(shown, out);
    }
    fputc('"', out);
}

static void json_place(FILE *out, struct loc loc)
{
    if (!has_place(loc)) {
        fputs("\"file\":null", out);
        return;
    }
    uint32_t line, column, end_line, end_column;
    source_position(loc.src, loc.begin, &line, &column);
    source_position(loc.src, loc.end, &end_line, &end_column);
    fputs("\"file\":", out);
    json_string(out, loc.src->path);
    fprintf(out,
            ",\"line\":%u,\"column\":%u,\"end_line\":%u,\"end_column\":%u,\"byte_start\":%u,\"byte_"
            "end\":%u",
            line, column, end_line, end_column, loc.begin, loc.end);
}

static void print_json(struct diag *d)
{
    FILE *out = d->out;
    fprintf(out,
            "{\"level\":\"%s\",\"code\":\"%s\",\"summary\":", level_text[rows[d->code].severity],
            rows[d->code].code);
    json_string(out, rows[d->code].summary);
    fputs(",\"message\":", out);
    json_string(out, d->message);
    fputc(',', out);
    json_place(out, d->loc);
    fputs(",\"notes\":[", out);
    for (size_t i = 0; i < d->nnotes; i++) {
        fprintf(out, "%s{\"level\":\"%s\",\"message\":", i ? "," : "",
                d->notes[i].help ? "help" : "note");
        json_string(out, d->notes[i].text);
        fputc(',', out);
        json_place(out, d->notes[i].loc);
        fputc('}', out);
    }
    fputs("],\"fix\":", out);
    if (d->fix)
        json_string(out, d->fix);
    else
        fputs("null", out);
    fputs("}\n", out);
}

/* ---- what the command line has replaced ---- */

void diag_replace(struct diag *d, struct loc old, struct loc with, const char *by)
{
    for (size_t i = 0; i < d->nreplaced; i++) {
        struct replaced *r = &d->replaced[i];
        if (r->with.src == old.src) /* a later flag in place of an earlier one */
            r->with = with, r->by = by;
        if (r->loc.src == old.src && r->loc.begin == old.begin)
            return;
    }
    if (has_place(old))
        *ARENA_PUSH(d->arena, d->replaced, d->nreplaced, d->replaced_cap) =
            (struct replaced){old, with, by};
}

static bool same_line(struct loc a, struct loc b)
{
    uint32_t line_a, line_b, column;
    if (!has_place(a) || a.src != b.src)
        return false;
    source_position(a.src, a.begin, &line_a, &column);
    source_position(b.src, b.begin, &line_b, &column);
    return line_a == line_b;
}

static void note_replaced(struct diag *d)
{
    size_t said = d->nnotes;
    for (size_t i = 0; i < d->nreplaced; i++) {
        const struct replaced *r = &d->replaced[i];
        bool shown = same_line(d->loc, r->loc);
        for (size_t k = 0; k < said; k++)
            shown |= same_line(d->notes[k].loc, r->loc);
        if (shown)
            diag_note(d, (struct loc){0}, "in place of `%.*s` stands %s",
                      r->loc.end - r->loc.begin > 60 ? 60 : (int)(r->loc.end - r->loc.begin),
                      r->loc.src->text + r->loc.begin, r->by);
    }
}

void diag_flush(struct diag *d)
{
    if (!d->open)
        return;
    note_replaced(d);
    d->open = false;
    if (!d->out)
        return;
    if (d->format == DIAG_JSON)
        print_json(d);
    else
        print_text(d);
    if (diag_full(d) && d->format == DIAG_TEXT && d->limit > 1)
        fprintf(d->out, "stopped after %u errors\n", d->errors);
}

unsigned diag_errors(const struct diag *d)
{
    return d->errors;
}

bool diag_full(const struct diag *d)
{
    return d->errors >= d->limit;
}

const char *diag_code_text(enum diag_code code)
{
    return rows[code].code;
}
