#include "sequence.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

// A text that is sent at its end has one turn.
static int64_t steps_per_turn(const Sequence *sequence, const Pace *pace) {
    return sequence->request.is_streaming ? pace->tokens_per_response : sequence->request.num_steps;
}

static double seconds_of(const Pace *pace, int64_t steps) {
    return pace->tokens_per_second > 0 ? (double)steps / pace->tokens_per_second : 0;
}

// A late response's turn stays where it is, so that nothing adds up.
static void set_due(Sequence *sequence, const Pace *pace) {
    double delay = seconds_of(pace, pace->tokens_per_response) * pace->jitter * drand48();
    sequence->due = sequence->written_until + seconds_of(pace, steps_per_turn(sequence, pace)) + delay;
}

// In-flight batching: whoever runs gets its next tokens at the end of the same step.
static double next_step(const Pace *pace) {
    double step = seconds_of(pace, pace->tokens_per_response), now = seconds_now();
    return step > 0 ? step * (double)((int64_t)(now / step) + 1) : now;
}

void sequence_begin(Sequence *sequence, const Pace *pace) {
    sequence->written_until = next_step(pace);
    set_due(sequence, pace);
}

static int64_t nanoseconds(double seconds) { return (int64_t)(seconds * 1e9); }

// One output of a response, of `num_values` elements in the shape [1, 1, n] or, with n 1, [1, 1].
typedef struct {
    const char *name;
    TRITONSERVER_DataType type;
    const void *values;
    int64_t num_values;
    bool is_list;
} Tensor;

static void add(TRITONBACKEND_Response *response, const Tensor *tensor) {
    int64_t shape[] = {1, 1, tensor->num_values};
    uint64_t size = tensor->num_values * (tensor->type == TRITONSERVER_TYPE_INT64 ? 8 : 4);
    void *buffer = triton_output(response, tensor->name, tensor->type, shape, tensor->is_list ? 3 : 2, size);
    if (buffer != NULL) memcpy(buffer, tensor->values, size);
}

typedef struct {
    int32_t num_blocks;
    int64_t arrived, first_token, last_token;
} PerfMetrics;

static PerfMetrics perf_metrics(const Sequence *sequence, const Pace *pace) {
    int64_t blocks = (sequence->request.num_prompt_ids + pace->tokens_per_block - 1) / pace->tokens_per_block;
    return (PerfMetrics){
        .num_blocks = (int32_t)blocks,
        .arrived = nanoseconds(sequence->arrived),
        .first_token = nanoseconds(sequence->first_token),
        .last_token = nanoseconds(seconds_now()),
    };
}

// All ten of return_perf_metrics; nothing is ever in a cache. Returns how many tensors there are then.
static int add_perf_metrics(Tensor *tensors, int count, const PerfMetrics *metrics) {
    static const float no_rate = 0;
    static const int32_t none = 0;
    const Tensor added[] = {
        {"kv_cache_alloc_new_blocks", TRITONSERVER_TYPE_INT32, &metrics->num_blocks, 1, false},
        {"kv_cache_reused_blocks", TRITONSERVER_TYPE_INT32, &none, 1, false},
        {"kv_cache_alloc_total_blocks", TRITONSERVER_TYPE_INT32, &metrics->num_blocks, 1, false},
        {"arrival_time_ns", TRITONSERVER_TYPE_INT64, &metrics->arrived, 1, false},
        {"first_scheduled_time_ns", TRITONSERVER_TYPE_INT64, &metrics->arrived, 1, false},
        {"first_token_time_ns", TRITONSERVER_TYPE_INT64, &metrics->first_token, 1, false},
        {"last_token_time_ns", TRITONSERVER_TYPE_INT64, &metrics->last_token, 1, false},
        {"acceptance_rate", TRITONSERVER_TYPE_FP32, &no_rate, 1, false},
        {"total_accepted_draft_tokens", TRITONSERVER_TYPE_INT32, &none, 1, false},
        {"total_draft_tokens", TRITONSERVER_TYPE_INT32, &none, 1, false},
    };
    memcpy(tensors + count, added, sizeof added);
    return count + (int)(sizeof added / sizeof *added);
}

static void send_ids(
    Sequence *sequence, const Pace *pace, const int32_t *ids, int64_t num_ids, bool is_final) {
    const Request *request = &sequence->request;
    if (request->unfilled != NULL) {
        triton_fail(sequence->factory, TRITONSERVER_ERROR_INTERNAL, request->unfilled);
        return;
    }
    const int32_t length = (int32_t)num_ids, num_prompt_ids = (int32_t)request->num_prompt_ids;
    Tensor tensors[16] = {
        {"output_ids", TRITONSERVER_TYPE_INT32, ids, num_ids, true},
        {"sequence_length", TRITONSERVER_TYPE_INT32, &length, 1, false},
    };
    int count = 2;
    if (request->returns_num_input_tokens)
        tensors[count++] = (Tensor){"num_input_tokens", TRITONSERVER_TYPE_INT32, &num_prompt_ids, 1, false};
    if (request->returns_num_output_tokens)
        tensors[count++] = (Tensor){"num_output_tokens", TRITONSERVER_TYPE_INT32, &length, 1, false};
    const PerfMetrics metrics = perf_metrics(sequence, pace);
    if (request->returns_perf_metrics) count = add_perf_metrics(tensors, count, &metrics);
    TRITONBACKEND_Response *response = triton_response(sequence->factory);
    if (response == NULL) return;
    for (int i = 0; i < count; i++) add(response, &tensors[i]);
    succeeded(TRITONBACKEND_ResponseSend(response, is_final ? TRITONSERVER_RESPONSE_COMPLETE_FINAL : 0, NULL));
}

// Takes so many steps, of which the one of the end id writes nothing.
static void write_steps(Sequence *sequence, const Pace *pace, const Words *words, int64_t steps, bool is_final) {
    const Request *request = &sequence->request;
    int64_t num_shown = request->repeats_prompt ? request->num_prompt_ids : 0;
    int64_t until = sequence->num_written + steps;
    if (until > request->num_ids) until = request->num_ids;
    int32_t *ids = malloc((size_t)(num_shown + steps + 1) * sizeof *ids);
    memcpy(ids, request->prompt, (size_t)num_shown * sizeof *ids);
    for (int64_t place = sequence->num_written; place < until; place++)
        ids[num_shown++] = words_id(words, request->first_word + (size_t)place);
    if (sequence->first_token == 0) sequence->first_token = seconds_now();
    send_ids(sequence, pace, ids, num_shown, is_final);
    free(ids);
    sequence->num_written += steps;
}

bool sequence_advance(Sequence *sequence, const Pace *pace, const Words *words) {
    int64_t steps = steps_per_turn(sequence, pace);
    const Request *request = &sequence->request;
    bool is_final = request->unfilled != NULL || sequence->num_written + steps >= request->num_steps;
    write_steps(sequence, pace, words, steps, is_final);
    // Flat out each waits for its turn among the others.
    if (pace->tokens_per_second > 0) sequence->written_until += seconds_of(pace, steps);
    else sequence->written_until = seconds_now();
    set_due(sequence, pace);
    return is_final;
}

void sequence_stop(Sequence *sequence, const Pace *pace, const Words *words) {
    double seconds = seconds_now() - sequence->written_until;
    int64_t steps = (int64_t)(seconds > 0 ? seconds * pace->tokens_per_second : 0);
    int64_t left = sequence->request.num_steps - sequence->num_written;
    write_steps(sequence, pace, words, steps < left ? steps : left, true);
}

void sequence_free(Sequence *sequence) {
    succeeded(TRITONBACKEND_ResponseFactoryDelete(sequence->factory));
    request_free(&sequence->request);
    free(sequence->request_id);
    free(sequence);
}
