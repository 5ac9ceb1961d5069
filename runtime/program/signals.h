/* The signals of a training. One that was ignored when the program started (`nohup`, a script's
 * background) stays so. */
#ifndef RUNTIME_PROGRAM_SIGNALS_H
#define RUNTIME_PROGRAM_SIGNALS_H

#include <signal.h>

extern volatile sig_atomic_t vrt_stop_signal; /* the signal that asks for an end; 0: none */
extern volatile sig_atomic_t vrt_save_signal; /* SIGUSR1 has come */

/* While a training is opened there is nothing to save: what asks for an end is one, at once.
 * SIGUSR1 waits. A reader that goes away (`| head`) ends nothing. `empty`: a folder that goes on
 * such an end; NULL: none. */
void vrt_signals_open(const char *empty);

/* From here on the first SIGINT, SIGTERM, SIGHUP or SIGXCPU asks for an end after the step; a
 * SIGINT or SIGTERM after it ends at once. */
void vrt_signals_catch(void);

#endif
