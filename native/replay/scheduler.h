// The thread that sends what is due, for thousands of sequences at once.
#pragma once

#include "sequence.h"

typedef struct Scheduler Scheduler;

// max_num_seqs run at once, further ones wait. `words` must outlive it.
Scheduler *scheduler_start(const Pace *pace, const Words *words, size_t max_num_seqs, double check_period_s);
// From any thread. A stop request ends the sequences of its id.
void scheduler_take(Scheduler *scheduler, Sequence *sequence);
// Fails what is not finished; returns when the thread has ended.
void scheduler_close(Scheduler *scheduler);
