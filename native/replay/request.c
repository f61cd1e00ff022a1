#include "request.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    const void *data;
    uint64_t num_bytes;
} Bytes;

// What would change the text, and is honoured by the other replay engine alone.
static const char *const LACKING[] = {
    "embedding_bias", "bad_words_list", "guided_decoding_guide_type", "guided_decoding_guide",
    "lora_weights", "lora_config",
};
static const char *const LACKING_FLAGS[] = {
    "return_log_probs", "return_context_logits", "return_generation_logits",
};
// An empty text on the wire is its length, 0.
enum { NUM_BYTES_OF_EMPTY_TEXT = 4 };

static Bytes buffer_of(TRITONBACKEND_Input *input) {
    Bytes bytes = {NULL, 0};
    TRITONSERVER_MemoryType memory = TRITONSERVER_MEMORY_CPU;
    int64_t memory_id = 0;
    succeeded(TRITONBACKEND_InputBuffer(input, 0, &bytes.data, &bytes.num_bytes, &memory, &memory_id));
    return bytes;
}

// Without data when the request has no such input, or an empty one.
static Bytes find(TRITONBACKEND_Request *asked, const char *name) {
    uint32_t count = 0;
    succeeded(TRITONBACKEND_RequestInputCount(asked, &count));
    for (uint32_t i = 0; i < count; i++) {
        TRITONBACKEND_Input *input;
        const char *found;
        uint64_t size;
        if (succeeded(TRITONBACKEND_RequestInputByIndex(asked, i, &input)) &&
            succeeded(TRITONBACKEND_InputProperties(input, &found, NULL, NULL, NULL, &size, NULL)) &&
            strcmp(found, name) == 0)
            return size > 0 ? buffer_of(input) : (Bytes){NULL, 0};
    }
    return (Bytes){NULL, 0};
}

static int64_t integer(TRITONBACKEND_Request *asked, const char *name, int64_t otherwise) {
    int32_t value;
    Bytes bytes = find(asked, name);
    if (bytes.num_bytes < sizeof value) return otherwise;
    memcpy(&value, bytes.data, sizeof value);
    return value;
}

static double number(TRITONBACKEND_Request *asked, const char *name, double otherwise) {
    float value;
    Bytes bytes = find(asked, name);
    if (bytes.num_bytes < sizeof value) return otherwise;
    memcpy(&value, bytes.data, sizeof value);
    return (double)value;
}

static bool flag_or(TRITONBACKEND_Request *asked, const char *name, bool otherwise) {
    Bytes bytes = find(asked, name);
    return bytes.num_bytes > 0 ? *(const uint8_t *)bytes.data : otherwise;
}

static bool flag(TRITONBACKEND_Request *asked, const char *name) { return flag_or(asked, name, false); }

static bool wants_output(TRITONBACKEND_Request *asked, const char *name) {
    uint32_t count = 0;
    succeeded(TRITONBACKEND_RequestOutputCount(asked, &count));
    for (uint32_t i = 0; i < count; i++) {
        const char *wanted;
        if (succeeded(TRITONBACKEND_RequestOutputName(asked, i, &wanted)) && strcmp(wanted, name) == 0)
            return true;
    }
    return false;
}

static bool asks_for_more(TRITONBACKEND_Request *asked) {
    for (size_t i = 0; i < sizeof LACKING / sizeof *LACKING; i++)
        if (find(asked, LACKING[i]).num_bytes > NUM_BYTES_OF_EMPTY_TEXT) return true;
    for (size_t i = 0; i < sizeof LACKING_FLAGS / sizeof *LACKING_FLAGS; i++)
        if (flag(asked, LACKING_FLAGS[i])) return true;
    return integer(asked, "lora_task_id", 0) != 0 || integer(asked, "beam_width", 1) != 1;
}

static const char *unfilled(TRITONBACKEND_Request *asked) {
#define UNFILLED(name) \
    "Error encountered while populating response: " name " tensor must be present in list of output tensors"
    if (!wants_output(asked, "output_ids")) return UNFILLED("output_ids");
    return wants_output(asked, "sequence_length") ? NULL : UNFILLED("sequence_length");
}

static const char *check(TRITONBACKEND_Request *asked, Bytes prompt, const Limits *limits) {
    if (prompt.num_bytes == 0) return "inputTokens or encoderInputFeatures tensor not provided";
    if (find(asked, "input_lengths").num_bytes > sizeof(int32_t))
        return "the native replay engine writes one sequence a request";
    if (asks_for_more(asked)) return "the native replay engine has no log-probs, logits, biases, guides or adapters";
    if (integer(asked, "request_output_len", 0) <= 0) return "mMaxNewTokens > 0";
    if ((int64_t)(prompt.num_bytes / sizeof(int32_t)) >= limits->max_model_len)
        return "Prompt length exceeds maximum input length";
    return NULL;
}

// Whether the text's first num_ids end in a stop word: row 0 holds the words' ids one after another, row 1
// each one's exclusive end, padded with -1.
static bool is_stopped(
    const Words *words, size_t first_word, int64_t num_ids, const int32_t *rows, int64_t num_columns) {
    const int32_t *ends = rows + num_columns;
    for (int64_t start = 0, i = 0; i < num_columns && ends[i] > 0; start = ends[i++]) {
        int64_t length = ends[i] - start, same = 0;
        if (ends[i] > num_columns || length <= 0 || length > num_ids) continue;
        while (same < length && rows[start + same] == words_id(words, first_word + num_ids - length + same))
            same++;
        if (same == length) return true;
    }
    return false;
}

static void set_length(
    Request *request, TRITONBACKEND_Request *asked, const Words *words, const Limits *limits) {
    int64_t longest = integer(asked, "request_output_len", 0);
    if (longest > limits->max_model_len - request->num_prompt_ids)
        longest = limits->max_model_len - request->num_prompt_ids;
    int64_t shortest = integer(asked, "min_tokens", 1), wished = limits->answer_length;
    request->num_ids = longest;
    if (wished > 0 && integer(asked, "end_id", -1) >= 0) {
        if (wished < shortest) wished = shortest;
        if (wished < longest) request->num_ids = wished;
    }
    request->num_steps = request->num_ids + (request->num_ids < longest);
    Bytes stop_words = find(asked, "stop_words_list");
    int64_t num_columns = (int64_t)(stop_words.num_bytes / sizeof(int32_t) / 2);
    for (int64_t num_ids = shortest > 1 ? shortest : 1; num_columns && num_ids <= request->num_ids; num_ids++)
        if (is_stopped(words, request->first_word, num_ids, stop_words.data, num_columns))
            request->num_ids = request->num_steps = num_ids;
}

// NULL for a greedy text. 0 stands for a seed that is absent.
static const uint64_t *seed_of(TRITONBACKEND_Request *asked, uint64_t *seed) {
    int64_t top_k = integer(asked, "runtime_top_k", 0);
    if (top_k == 1 || (top_k == 0 && number(asked, "runtime_top_p", 0) <= 0)) return NULL;
    if (number(asked, "temperature", 1) == 0) return NULL;
    Bytes bytes = find(asked, "seed");
    *seed = 0;
    if (bytes.num_bytes == sizeof *seed) memcpy(seed, bytes.data, sizeof *seed);
    return seed;
}

const char *request_read(
    Request *request, TRITONBACKEND_Request *asked, const Words *words, const Limits *limits) {
    *request = (Request){.is_stop = flag(asked, "stop")};
    if (request->is_stop) return NULL;
    Bytes prompt = find(asked, "input_ids");
    const char *reason = check(asked, prompt, limits);
    if (reason != NULL) return reason;
    uint64_t seed;
    request->prompt = malloc(prompt.num_bytes);
    memcpy(request->prompt, prompt.data, prompt.num_bytes);
    request->num_prompt_ids = (int64_t)(prompt.num_bytes / sizeof *request->prompt);
    request->first_word =
        words_start(words, request->prompt, (size_t)request->num_prompt_ids, seed_of(asked, &seed));
    request->is_streaming = flag(asked, "streaming");
    request->repeats_prompt =
        !request->is_streaming && !flag_or(asked, "exclude_input_in_output", limits->excludes_input);
    request->returns_num_input_tokens = flag(asked, "return_num_input_tokens");
    request->returns_num_output_tokens = flag(asked, "return_num_output_tokens");
    request->returns_perf_metrics = flag(asked, "return_perf_metrics");
    request->unfilled = unfilled(asked);
    set_length(request, asked, words, limits);
    return NULL;
}

void request_free(Request *request) { free(request->prompt); }
