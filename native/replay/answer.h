// Triton's side of a request: its responses, up to the final one.
#pragma once

#include "triton_backend.h"

// One output of a response, of `num_values` elements in the shape [1, 1, n] or, with n 1, [1, 1].
typedef struct {
    const char *name;
    TRITONSERVER_DataType type;
    const void *values;
    int64_t num_values;
    bool is_list;
} Tensor;

void answer_send(
    TRITONBACKEND_ResponseFactory *factory, const Tensor *tensors, int num_tensors, bool is_final);
// Ends the responses with an internal error.
void answer_fail(TRITONBACKEND_ResponseFactory *factory, const char *text);
// Ends them without a further one.
void answer_close(TRITONBACKEND_ResponseFactory *factory);
bool answer_is_abandoned(TRITONBACKEND_ResponseFactory *factory);
