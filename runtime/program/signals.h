/* The signals of a training. */
#ifndef RUNTIME_PROGRAM_SIGNALS_H
#define RUNTIME_PROGRAM_SIGNALS_H

#include <signal.h>

extern volatile sig_atomic_t vrt_stop_signal; /* the signal that asks for an end; 0: none */
extern volatile sig_atomic_t vrt_save_signal; /* SIGUSR1 has come */

/* The first SIGINT or SIGTERM asks for an end after the step, a second one of either ends at once;
 * SIGUSR1 asks for the state to be saved. A reader that goes away (`| head`) ends nothing. */
void vrt_catch_signals(void);

#endif
