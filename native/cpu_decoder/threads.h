// Threads that go through the same loops and share the tasks of each. They spin between loops, and sleep between walks.
//
// Each goes by itself: one that is put off its core between two tasks holds up none, and finds later what the others
// did meanwhile.
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct Threads Threads;

// How far a thread is on its way.
typedef struct {
    Threads *threads;
    uint64_t num_tasks;
} Walk;

// One task of a loop.
typedef void (*Task)(const void *loop, int number);
// Goes from loop to loop, in each thread alike.
typedef void (*Way)(void *argument, Walk *walk);

// NULL when the system has no more of them; num_threads counts the one that calls.
Threads *threads_start(int num_threads);
void threads_stop(Threads *threads);
// Returns when all threads that took part are through.
void threads_run(Threads *threads, Way way, void *argument);
// Part of a way: returns when all tasks are done, each by whichever thread was free.
void threads_share(Walk *walk, Task task, const void *loop, int num_tasks);
