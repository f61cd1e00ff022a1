#include "threads.h"

#include <immintrin.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

// About 30 us: longer than what one loop leaves to wait for, shorter than what lies between two steps.
enum { MAX_SPINS = 1000 };
// Of the time stamp counter, some 0.3 ms; rarer or more often gave less beside other processes.
enum { CYCLES_BETWEEN_YIELDS = 1000000 };
// Of `door`: whether threads may join the walk; the rest counts those that did.
enum { IS_OPEN = 1, ONE_INSIDE = 2 };

struct Threads {
    // Of all tasks since the start: a walk's loops follow each other.
    _Alignas(64) _Atomic uint64_t num_taken;
    _Alignas(64) _Atomic uint64_t num_done;
    _Alignas(64) _Atomic uint32_t num_calls;
    _Atomic int num_asleep;
    _Atomic uint32_t door;
    _Atomic bool ends;
    Way way;
    void *argument;
    uint64_t num_before;
    int num_workers;
    pthread_t workers[];
};

static void futex(_Atomic uint32_t *word, int operation, uint32_t value) {
    syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

// A thread that was put off its core holds up one task; others may need ours meanwhile.
static void rest(int spin) {
    if (spin < MAX_SPINS)
        _mm_pause();
    else
        sched_yield();
}

// Who has to leave a core for another process leaves it between two tasks then, and holds up no loop.
static void give_way(void) {
    static _Thread_local uint64_t next;
    if (__rdtsc() < next) return;
    sched_yield();
    next = __rdtsc() + CYCLES_BETWEEN_YIELDS;
}

void threads_share(Walk *walk, Task task, const void *loop, int num_tasks) {
    Threads *threads = walk->threads;
    uint64_t begin = walk->num_tasks, end = begin + (uint64_t)num_tasks;
    uint64_t number = atomic_load(&threads->num_taken);
    while (number < end) {
        if (!atomic_compare_exchange_weak(&threads->num_taken, &number, number + 1)) continue;
        task(loop, (int)(number - begin));
        atomic_fetch_add(&threads->num_done, 1);
        give_way();
        number = atomic_load(&threads->num_taken);
    }
    for (int spin = 0; atomic_load_explicit(&threads->num_done, memory_order_acquire) < end; spin++) rest(spin);
    walk->num_tasks = end;
}

static void go(Threads *threads) {
    Walk walk = {threads, threads->num_before};
    threads->way(threads->argument, &walk);
}

// Not when the walk is over: what it reads may be gone.
static void join_walk(Threads *threads) {
    uint32_t door = atomic_load(&threads->door);
    do {
        if (!(door & IS_OPEN)) return;
    } while (!atomic_compare_exchange_weak(&threads->door, &door, door + ONE_INSIDE));
    go(threads);
    atomic_fetch_sub(&threads->door, ONE_INSIDE);
}

static void await_call(Threads *threads, uint32_t num_known) {
    for (int spin = 0; spin < MAX_SPINS; spin++) {
        if (atomic_load_explicit(&threads->num_calls, memory_order_acquire) != num_known) return;
        _mm_pause();
    }
    atomic_fetch_add(&threads->num_asleep, 1);
    while (atomic_load(&threads->num_calls) == num_known) futex(&threads->num_calls, FUTEX_WAIT, num_known);
    atomic_fetch_sub(&threads->num_asleep, 1);
}

static void *run_worker(void *argument) {
    Threads *threads = argument;
    uint32_t num_known = 0;
    for (;;) {
        await_call(threads, num_known);
        num_known = atomic_load(&threads->num_calls);
        if (atomic_load(&threads->ends)) return NULL;
        join_walk(threads);
    }
}

static void call_all(Threads *threads) {
    atomic_fetch_add(&threads->num_calls, 1);
    if (atomic_load(&threads->num_asleep) > 0) futex(&threads->num_calls, FUTEX_WAKE, INT32_MAX);
}

static bool start_workers(Threads *threads, int num_workers) {
    for (; threads->num_workers < num_workers; threads->num_workers++)
        if (pthread_create(&threads->workers[threads->num_workers], NULL, run_worker, threads) != 0) return false;
    return true;
}

Threads *threads_start(int num_threads) {
    size_t size = sizeof(Threads) + (size_t)num_threads * sizeof(pthread_t);
    Threads *threads = aligned_alloc(64, (size + 63) / 64 * 64);
    if (threads == NULL) return NULL;
    *threads = (Threads){0};
    // Signals are the business of the threads that were there before.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool is_complete = start_workers(threads, num_threads - 1);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (is_complete) return threads;
    threads_stop(threads);
    return NULL;
}

void threads_stop(Threads *threads) {
    atomic_store(&threads->ends, true);
    call_all(threads);
    for (int i = 0; i < threads->num_workers; i++) pthread_join(threads->workers[i], NULL);
    free(threads);
}

void threads_run(Threads *threads, Way way, void *argument) {
    threads->way = way;
    threads->argument = argument;
    threads->num_before = atomic_load(&threads->num_taken);
    atomic_store(&threads->door, IS_OPEN);
    call_all(threads);
    go(threads);
    atomic_fetch_and(&threads->door, ~(uint32_t)IS_OPEN);
    for (int spin = 0; atomic_load(&threads->door) > 0; spin++) rest(spin);
}
