#include "scheduler.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

// First in, first out.
typedef struct {
    Sequence *first, *last;
} Queue;

struct Scheduler {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t arrived;
    Queue arrivals;  // with is_closing, what the lock is for
    bool is_closing;
    Queue waiting;
    Sequence **running;  // a heap: who is due first comes first
    size_t num_running, max_num_seqs;
    Pace pace;
    const Words *words;
    double check_period_s, next_check;
};

static void enqueue(Queue *queue, Sequence *sequence) {
    sequence->next = NULL;
    if (queue->first == NULL) queue->first = sequence;
    else queue->last->next = sequence;
    queue->last = sequence;
}

static Sequence *dequeue(Queue *queue) {
    Sequence *sequence = queue->first;
    if (sequence != NULL) queue->first = sequence->next;
    return sequence;
}

static void sift_up(Sequence **heap, size_t place) {
    Sequence *sequence = heap[place];
    for (; place > 0 && heap[(place - 1) / 2]->due > sequence->due; place = (place - 1) / 2)
        heap[place] = heap[(place - 1) / 2];
    heap[place] = sequence;
}

static void sift_down(Sequence **heap, size_t count, size_t place) {
    Sequence *sequence = heap[place];
    for (size_t child; (child = 2 * place + 1) < count; place = child) {
        if (child + 1 < count && heap[child + 1]->due < heap[child]->due) child++;
        if (heap[child]->due >= sequence->due) break;
        heap[place] = heap[child];
    }
    heap[place] = sequence;
}

static void fill(Scheduler *scheduler) {
    while (scheduler->waiting.first != NULL && scheduler->num_running < scheduler->max_num_seqs) {
        Sequence *sequence = dequeue(&scheduler->waiting);
        sequence_begin(sequence, &scheduler->pace);
        scheduler->running[scheduler->num_running] = sequence;
        sift_up(scheduler->running, scheduler->num_running++);
    }
}

static void end(Scheduler *scheduler, size_t place) {
    Sequence **heap = scheduler->running;
    sequence_free(heap[place]);
    heap[place] = heap[--scheduler->num_running];
    if (place < scheduler->num_running) {
        sift_down(heap, scheduler->num_running, place);
        sift_up(heap, place);
    }
}

static void stop_at(Scheduler *scheduler, size_t place) {
    sequence_stop(scheduler->running[place], &scheduler->pace, scheduler->words);
    end(scheduler, place);
}

static void stop_waiting(Scheduler *scheduler, const char *request_id) {
    Queue left = {NULL, NULL};
    for (Sequence *sequence; (sequence = dequeue(&scheduler->waiting)) != NULL;) {
        if (strcmp(sequence->request_id, request_id) != 0) {
            enqueue(&left, sequence);
            continue;
        }
        sequence_begin(sequence, &scheduler->pace);
        sequence_stop(sequence, &scheduler->pace, scheduler->words);
        sequence_free(sequence);
    }
    scheduler->waiting = left;
}

static void stop(Scheduler *scheduler, Sequence *order) {
    stop_waiting(scheduler, order->request_id);
    for (size_t place = 0; place < scheduler->num_running;) {
        if (strcmp(scheduler->running[place]->request_id, order->request_id) == 0) stop_at(scheduler, place);
        else place++;
    }
    succeeded(TRITONBACKEND_ResponseFactorySendFlags(order->factory, TRITONSERVER_RESPONSE_COMPLETE_FINAL));
    sequence_free(order);
}

static void end_abandoned(Scheduler *scheduler) {
    scheduler->next_check = seconds_now() + scheduler->check_period_s;
    for (size_t place = 0; place < scheduler->num_running;) {
        if (triton_is_cancelled(scheduler->running[place]->factory)) stop_at(scheduler, place);
        else place++;
    }
}

static void take_up(Scheduler *scheduler, Queue arrivals) {
    for (Sequence *sequence; (sequence = dequeue(&arrivals)) != NULL;) {
        if (sequence->request.is_stop) stop(scheduler, sequence);
        else enqueue(&scheduler->waiting, sequence);
    }
    fill(scheduler);
}

// Each sequence at most once: flat out, one that has been advanced is due again at once.
static void advance_due(Scheduler *scheduler) {
    Sequence **heap = scheduler->running;
    double now = seconds_now();
    for (size_t turns = scheduler->num_running; turns > 0 && scheduler->num_running > 0; turns--) {
        if (heap[0]->due > now) break;
        if (sequence_advance(heap[0], &scheduler->pace, scheduler->words)) end(scheduler, 0);
        else sift_down(heap, scheduler->num_running, 0);
    }
    fill(scheduler);
}

static struct timespec clock_time(double seconds) {
    time_t whole = (time_t)seconds;
    return (struct timespec){.tv_sec = whole, .tv_nsec = (long)((seconds - (double)whole) * 1e9)};
}

// Until something arrives or is due; takes all that has arrived.
static Queue wait_for_arrivals(Scheduler *scheduler) {
    if (scheduler->arrivals.first == NULL && scheduler->num_running == 0) {
        pthread_cond_wait(&scheduler->arrived, &scheduler->lock);
    } else if (scheduler->arrivals.first == NULL) {
        double due = scheduler->running[0]->due;
        struct timespec until = clock_time(due < scheduler->next_check ? due : scheduler->next_check);
        pthread_cond_timedwait(&scheduler->arrived, &scheduler->lock, &until);
    }
    Queue arrivals = scheduler->arrivals;
    scheduler->arrivals = (Queue){NULL, NULL};
    return arrivals;
}

static void fail_all(Scheduler *scheduler) {
    const char *reason = "the server is shutting down";
    for (size_t place = 0; place < scheduler->num_running; place++)
        enqueue(&scheduler->waiting, scheduler->running[place]);
    for (Sequence *sequence; (sequence = dequeue(&scheduler->waiting)) != NULL;) {
        triton_fail(sequence->factory, TRITONSERVER_ERROR_INTERNAL, reason);
        sequence_free(sequence);
    }
}

static void *run(void *argument) {
    Scheduler *scheduler = argument;
    pthread_mutex_lock(&scheduler->lock);
    while (!scheduler->is_closing) {
        Queue arrivals = wait_for_arrivals(scheduler);
        pthread_mutex_unlock(&scheduler->lock);
        take_up(scheduler, arrivals);
        advance_due(scheduler);
        if (seconds_now() >= scheduler->next_check) end_abandoned(scheduler);
        pthread_mutex_lock(&scheduler->lock);
    }
    pthread_mutex_unlock(&scheduler->lock);
    take_up(scheduler, scheduler->arrivals);
    fail_all(scheduler);
    return NULL;
}

Scheduler *scheduler_start(const Pace *pace, const Words *words, size_t max_num_seqs, double check_period_s) {
    Scheduler *scheduler = calloc(1, sizeof *scheduler);
    scheduler->pace = *pace;
    scheduler->words = words;
    scheduler->max_num_seqs = max_num_seqs;
    scheduler->running = calloc(max_num_seqs, sizeof *scheduler->running);
    scheduler->check_period_s = check_period_s;
    pthread_mutex_init(&scheduler->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&scheduler->arrived, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_create(&scheduler->thread, NULL, run, scheduler);
    return scheduler;
}

void scheduler_take(Scheduler *scheduler, Sequence *sequence) {
    pthread_mutex_lock(&scheduler->lock);
    enqueue(&scheduler->arrivals, sequence);
    pthread_cond_signal(&scheduler->arrived);
    pthread_mutex_unlock(&scheduler->lock);
}

void scheduler_close(Scheduler *scheduler) {
    pthread_mutex_lock(&scheduler->lock);
    scheduler->is_closing = true;
    pthread_cond_signal(&scheduler->arrived);
    pthread_mutex_unlock(&scheduler->lock);
    pthread_join(scheduler->thread, NULL);
    pthread_cond_destroy(&scheduler->arrived);
    pthread_mutex_destroy(&scheduler->lock);
    free(scheduler->running);
    free(scheduler);
}
