// What a request asks for, as TensorRT-LLM's C++ backend reads it (replay_request.py).
#pragma once

#include "triton.h"
#include "words.h"

typedef struct {
    int32_t *prompt;
    int64_t num_prompt_ids;
    size_t first_word;
    int64_t num_ids;
    // One more than num_ids where the end id follows, which is none of them.
    int64_t num_steps;
    bool is_stop;
    bool is_streaming;
    bool repeats_prompt;
    bool returns_num_input_tokens;
    bool returns_num_output_tokens;
    bool returns_perf_metrics;
    // NULL, or why no response can be filled; found at the first one, as upstream does.
    const char *unfilled;
} Request;

typedef struct {
    int64_t max_model_len;
    int64_t answer_length;
    bool excludes_input;  // unless a request says otherwise
} Limits;

// NULL, or why the request can't be served: what an engine says of it, or that this one lacks what it asks for.
const char *request_read(
    Request *request, TRITONBACKEND_Request *asked, const Words *words, const Limits *limits);
void request_free(Request *request);
