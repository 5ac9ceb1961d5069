/* The progress bar: see progress.h. Drawn with write(2) from a buffer on the stack; obeys NO_COLOR
 * and the width of the terminal. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "runtime/io/progress.h"

enum { BAR = 16, WIDTH_LIMIT = 200 };
static const double redraw_every = 0.2;

double vrt_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

const char *vrt_duration(char *text, double seconds)
{
    long s = seconds > 0 && seconds < 1e9 ? lrint(seconds) : 0;
    if (s >= 3600)
        snprintf(text, 32, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(text, 32, "%ld:%02ld", s / 60, s % 60);
    return text;
}

void vrt_progress_start(struct vrt_progress *p, const char *title, int64_t done, int64_t total)
{
    const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");
    *p = (struct vrt_progress){
        .title = title, .done = done, .first = done, .total = total, .began = vrt_seconds()};
    p->on = isatty(STDERR_FILENO) && (term == NULL || strcmp(term, "dumb") != 0);
    p->colour = p->on && (no_color == NULL || *no_color == '\0');
}

static int terminal_width(void)
{
    struct winsize w;
    int width = ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0 ? w.ws_col : 80;
    return width < WIDTH_LIMIT ? width : WIDTH_LIMIT;
}

void vrt_progress_show(struct vrt_progress *p, int64_t done, double images_per_s, const char *rest)
{
    double now = p->on ? vrt_seconds() : 0.0;
    p->done = done;
    if (!p->on || now - p->shown < redraw_every)
        return;
    p->shown = now;
    int64_t here = done - p->first;
    double left = here > 0 ? (now - p->began) / (double)here * (double)(p->total - done) : 0.0;
    int filled = p->total > 0 ? (int)(done * BAR / p->total) : 0;
    char line[512], bar[BAR + 1], eta[32];
    for (int i = 0; i < BAR; i++)
        bar[i] = i < filled ? '=' : i == filled ? '>' : ' ';
    bar[BAR] = '\0';
    int n =
        snprintf(line, sizeof line, "%s [%s] %lld/%lld  %.0f img/s  ETA %s  %s", p->title, bar,
                 (long long)done, (long long)p->total, images_per_s, vrt_duration(eta, left), rest);
    int width = terminal_width() - 1;
    line[n < width ? n : width] = '\0';
    char out[600];
    n = snprintf(out, sizeof out, "\r%s%s%s\033[K", p->colour ? "\033[36m" : "", line,
                 p->colour ? "\033[0m" : "");
    p->drawn = write(STDERR_FILENO, out, (size_t)n) > 0;
}

void vrt_progress_clear(struct vrt_progress *p)
{
    p->drawn = p->drawn && write(STDERR_FILENO, "\r\033[K", 4) < 0;
    p->shown = 0.0;
}
