/* The signals of a training: see signals.h. */
#include "runtime/program/signals.h"

#include <stddef.h>
#include <unistd.h>

volatile sig_atomic_t vrt_stop_signal, vrt_save_signal;

static const int stops[] = {SIGINT, SIGTERM, SIGHUP, SIGXCPU};
enum { NSTOPS = sizeof stops / sizeof *stops };

static const char *empty_folder;

static void set_handler(int number, void (*handler)(int))
{
    struct sigaction a;
    if (sigaction(number, NULL, &a) != 0 || a.sa_handler == SIG_IGN)
        return;
    a = (struct sigaction){.sa_handler = handler, .sa_flags = SA_RESTART};
    sigemptyset(&a.sa_mask);
    sigaction(number, &a, NULL);
}

/* SIGHUP comes twice where a terminal is closed, from the shell and from the kernel, and SIGXCPU
 * each second: these go on to be caught. */
static void on_stop(int number)
{
    if (vrt_stop_signal == 0)
        vrt_stop_signal = number;
    set_handler(SIGINT, SIG_DFL);
    set_handler(SIGTERM, SIG_DFL);
}

static void on_early_stop(int number)
{
    rmdir(empty_folder);
    set_handler(number, SIG_DFL);
    raise(number);
}

static void on_save(int number)
{
    (void)number;
    vrt_save_signal = 1;
}

void vrt_signals_open(const char *empty)
{
    empty_folder = empty;
    for (int i = 0; i < NSTOPS && empty != NULL; i++)
        set_handler(stops[i], on_early_stop);
    set_handler(SIGUSR1, on_save);
    signal(SIGPIPE, SIG_IGN);
}

void vrt_signals_catch(void)
{
    for (int i = 0; i < NSTOPS; i++)
        set_handler(stops[i], on_stop);
}
