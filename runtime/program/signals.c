/* The signals of a training: see signals.h. */
#include "runtime/program/signals.h"

#include <stddef.h>

volatile sig_atomic_t vrt_stop_signal, vrt_save_signal;

static void on_stop(int number)
{
    vrt_stop_signal = number;
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
}

static void on_save(int number)
{
    (void)number;
    vrt_save_signal = 1;
}

void vrt_catch_signals(void)
{
    struct sigaction a = {.sa_handler = on_stop, .sa_flags = SA_RESTART};
    sigemptyset(&a.sa_mask);
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
    a = (struct sigaction){.sa_handler = on_save, .sa_flags = SA_RESTART};
    sigemptyset(&a.sa_mask);
    sigaction(SIGUSR1, &a, NULL);
    signal(SIGPIPE, SIG_IGN);
}
