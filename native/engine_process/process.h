// A Python process with a socket to it as its standard input.
#pragma once

#include <stdbool.h>
#include <sys/types.h>

typedef struct {
    pid_t pid;
    int socket;
} Process;

// Runs `python3 script name`, without LD_PRELOAD; false, with errno, if it can't be started.
bool process_start(Process *process, const char *script, const char *name);
// Waits until it is gone, and writes how it ended.
void process_wait(Process *process, char *text, size_t size);
