// Threads that share the tasks of one loop after another. They spin between loops, and sleep between steps.
#pragma once

#include <stdbool.h>

typedef struct Threads Threads;

// One task of a loop.
typedef void (*Task)(const void *loop, int number);

// NULL when the system has no more of them; num_threads counts the one that calls.
Threads *threads_start(int num_threads);
void threads_stop(Threads *threads);
// Returns when all tasks are done, each by whichever thread was free.
void threads_run(Threads *threads, Task task, const void *loop, int num_tasks);
