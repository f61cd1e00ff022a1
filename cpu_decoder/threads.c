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

struct Threads {
    // The number of the loop in the upper half, its next task in the lower.
    _Alignas(64) _Atomic uint64_t turn;
    _Atomic(Task) task;
    _Atomic(const void *) loop;
    _Atomic int num_tasks;
    _Alignas(64) _Atomic int num_done;
    _Alignas(64) _Atomic uint32_t num_calls;
    _Atomic int num_asleep;
    _Atomic bool ends;
    int num_workers;
    pthread_t workers[];
};

static void futex(_Atomic uint32_t *word, int operation, uint32_t value) {
    syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

// A thread that is late reads what belongs to another loop, and then does not get the turn.
static void work(Threads *threads) {
    uint64_t turn = atomic_load(&threads->turn);
    while ((int)(uint32_t)turn < atomic_load_explicit(&threads->num_tasks, memory_order_acquire)) {
        Task task = atomic_load_explicit(&threads->task, memory_order_relaxed);
        const void *loop = atomic_load_explicit(&threads->loop, memory_order_relaxed);
        if (!atomic_compare_exchange_weak(&threads->turn, &turn, turn + 1)) continue;
        task(loop, (int)(uint32_t)turn);
        atomic_fetch_add(&threads->num_done, 1);
        turn = atomic_load(&threads->turn);
    }
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
        work(threads);
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

// A worker that was put off its core holds up one task; others may need ours meanwhile.
static void await_done(Threads *threads, int num_tasks) {
    for (int spin = 0; atomic_load_explicit(&threads->num_done, memory_order_acquire) < num_tasks; spin++) {
        if (spin < MAX_SPINS)
            _mm_pause();
        else
            sched_yield();
    }
}

void threads_run(Threads *threads, Task task, const void *loop, int num_tasks) {
    // No task can be taken between the two turns.
    atomic_store(&threads->num_tasks, 0);
    atomic_store(&threads->turn, ((atomic_load(&threads->turn) >> 32) + 1) << 32);
    atomic_store_explicit(&threads->task, task, memory_order_relaxed);
    atomic_store_explicit(&threads->loop, loop, memory_order_relaxed);
    atomic_store_explicit(&threads->num_done, 0, memory_order_relaxed);
    atomic_store(&threads->num_tasks, num_tasks);
    call_all(threads);
    work(threads);
    await_done(threads, num_tasks);
}
