// Triton loads this: an engine that computes nothing, in tritonserver's own process as TensorRT-LLM's C++
// backend is. It writes the words of the replay engine (../tensorrt_llm) at its pace, each token a response.
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scheduler.h"

typedef struct {
    Words words;
    Limits limits;
    Scheduler *scheduler;
} Engine;

// A parameter of config.pbtxt; Triton writes the configuration without spaces. False if it is not there.
static bool read_parameter(const char *config, const char *name, double *value) {
    char key[128];
    snprintf(key, sizeof key, "\"%s\":{\"string_value\":\"", name);
    const char *found = strstr(config, key);
    if (found == NULL) return false;
    char *end;
    *value = strtod(found + strlen(key), &end);
    return *end == '"';
}

static const char *read_config(const char *config, Engine *engine) {
    double pace, jitter, per_response, per_block, window, length, most, check_ms;
    if (!read_parameter(config, "tokens_per_second", &pace) || !read_parameter(config, "jitter", &jitter) ||
        !read_parameter(config, "tokens_per_response", &per_response) ||
        !read_parameter(config, "tokens_per_block", &per_block) ||
        !read_parameter(config, "max_model_len", &window) ||
        !read_parameter(config, "answer_length", &length) || !read_parameter(config, "max_num_seqs", &most) ||
        !read_parameter(config, "cancellation_check_period_ms", &check_ms))
        return "a parameter of config.pbtxt is missing or is no number";
    if (per_response < 1 || per_block < 1 || most < 1) return "a parameter of config.pbtxt is too small";
    engine->limits = (Limits){
        .max_model_len = (int64_t)window,
        .answer_length = (int64_t)length,
        .excludes_input = strstr(config, "\"exclude_input_in_output\":{\"string_value\":\"true\"") != NULL,
    };
    Pace all = {pace, jitter, (int64_t)per_response, (int64_t)per_block};
    engine->scheduler = scheduler_start(&all, &engine->words, (size_t)most, check_ms / 1000);
    return NULL;
}

static const char *open_engine(const char *folder, const char *config, Engine *engine) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/1/word_ids.bin", folder);
    if (!words_open(&engine->words, path)) return "word_ids.bin can't be read";
    return read_config(config, engine);
}

static TRITONSERVER_Error *start_engine(const char *folder, TRITONSERVER_Message *config, Engine *engine) {
    const char *base;
    size_t size;
    TRITONSERVER_Error *error = TRITONSERVER_MessageSerializeToJson(config, &base, &size);
    if (error != NULL) return error;
    char *text = strndup(base, size);
    const char *reason = open_engine(folder, text, engine);
    free(text);
    return reason == NULL ? NULL : TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_INTERNAL, reason);
}

EXPORTED TRITONSERVER_Error *TRITONBACKEND_ModelInitialize(TRITONBACKEND_Model *model) {
    TRITONSERVER_Message *config;
    TRITONBACKEND_ArtifactType type;
    const char *folder;
    TRITONSERVER_Error *error = TRITONBACKEND_ModelRepository(model, &type, &folder);
    if (error == NULL) error = TRITONBACKEND_ModelConfig(model, 1, &config);
    if (error != NULL) return error;
    Engine *engine = calloc(1, sizeof *engine);
    error = start_engine(folder, config, engine);
    succeeded(TRITONSERVER_MessageDelete(config));
    return error == NULL ? TRITONBACKEND_ModelSetState(model, engine) : error;
}

EXPORTED TRITONSERVER_Error *TRITONBACKEND_ModelFinalize(TRITONBACKEND_Model *model) {
    Engine *engine = triton_state(model);
    if (engine == NULL) return NULL;
    scheduler_close(engine->scheduler);
    free(engine->words.ids);
    free(engine);
    return NULL;
}

static void accept(Engine *engine, TRITONBACKEND_Request *asked) {
    Sequence *sequence = calloc(1, sizeof *sequence);
    const char *id = NULL;
    if (!succeeded(TRITONBACKEND_ResponseFactoryNew(&sequence->factory, asked))) return free(sequence);
    succeeded(TRITONBACKEND_RequestId(asked, &id));
    sequence->request_id = strdup(id == NULL ? "" : id);
    sequence->arrived = seconds_now();
    const char *reason = request_read(&sequence->request, asked, &engine->words, &engine->limits);
    if (sequence->request.is_stop && *sequence->request_id == '\0')
        reason = "Trying to stop a request but request ID is not provided";
    if (reason == NULL) return scheduler_take(engine->scheduler, sequence);
    triton_fail(sequence->factory, TRITONSERVER_ERROR_INTERNAL, reason);
    sequence_free(sequence);
}

EXPORTED TRITONSERVER_Error *TRITONBACKEND_ModelInstanceExecute(
    TRITONBACKEND_ModelInstance *instance, TRITONBACKEND_Request **requests, uint32_t count) {
    TRITONBACKEND_Model *model;
    TRITONSERVER_Error *error = TRITONBACKEND_ModelInstanceModel(instance, &model);
    if (error != NULL) return error;
    uint64_t start_ns = nanoseconds_now();
    for (uint32_t i = 0; i < count; i++) accept(triton_state(model), requests[i]);
    count_and_release(instance, requests, count, start_ns);
    return NULL;
}
