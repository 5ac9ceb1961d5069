/* What a program says to people. */
#ifndef RUNTIME_PROGRAM_MESSAGE_H
#define RUNTIME_PROGRAM_MESSAGE_H

/* "WHO: TEXT" on stderr. Names from files and pictures may hold anything; a terminal gets no
 * control characters from us. */
void vrt_message(const char *who, const char *text);

#endif
