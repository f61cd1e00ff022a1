// What every backend in C does with Triton's API in the same way.
#pragma once

#include "triton_backend.h"

#define EXPORTED __attribute__((visibility("default")))

// Logs and frees an error of Triton's; true without one.
bool succeeded(TRITONSERVER_Error *error);
// What ModelSetState has set, or NULL.
void *triton_state(TRITONBACKEND_Model *model);

// A buffer for the bytes of an output of that name; NULL, and a line in Triton's log, if Triton takes no such output.
void *triton_output(
    TRITONBACKEND_Response *response, const char *name, TRITONSERVER_DataType type, const int64_t *shape,
    uint32_t num_dims, uint64_t size);
// NULL, and a line in Triton's log, if there can be none.
TRITONBACKEND_Response *triton_response(TRITONBACKEND_ResponseFactory *factory);
// Ends the responses with an error.
void triton_fail(TRITONBACKEND_ResponseFactory *factory, TRITONSERVER_Error_Code code, const char *text);
// Whether the client has left.
bool triton_is_cancelled(TRITONBACKEND_ResponseFactory *factory);

// Of the clock by which Triton counts: steady_clock (infer_request.h of its core).
uint64_t nanoseconds_now(void);
// Counts requests that were taken since then, on Triton's metrics port and for perf_analyzer, and releases them.
void count_and_release(
    TRITONBACKEND_ModelInstance *instance, TRITONBACKEND_Request **requests, uint32_t count, uint64_t start_ns);
