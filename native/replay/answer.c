#include "answer.h"

#include <string.h>

#include "triton_error.h"

static void add(TRITONBACKEND_Response *response, const Tensor *tensor) {
    TRITONBACKEND_Output *output;
    void *buffer;
    TRITONSERVER_MemoryType memory = TRITONSERVER_MEMORY_CPU;
    int64_t memory_id = 0;
    int64_t shape[] = {1, 1, tensor->num_values};
    uint64_t size = tensor->num_values * (tensor->type == TRITONSERVER_TYPE_INT64 ? 8 : 4);
    if (succeeded(TRITONBACKEND_ResponseOutput(
            response, &output, tensor->name, tensor->type, shape, tensor->is_list ? 3 : 2)) &&
        succeeded(TRITONBACKEND_OutputBuffer(output, &buffer, size, &memory, &memory_id)))
        memcpy(buffer, tensor->values, size);
}

void answer_send(
    TRITONBACKEND_ResponseFactory *factory, const Tensor *tensors, int num_tensors, bool is_final) {
    TRITONBACKEND_Response *response;
    if (!succeeded(TRITONBACKEND_ResponseNewFromFactory(&response, factory))) return;
    for (int i = 0; i < num_tensors; i++) add(response, &tensors[i]);
    succeeded(TRITONBACKEND_ResponseSend(
        response, is_final ? TRITONSERVER_RESPONSE_COMPLETE_FINAL : 0, NULL));
}

void answer_fail(TRITONBACKEND_ResponseFactory *factory, const char *text) {
    TRITONBACKEND_Response *response;
    if (!succeeded(TRITONBACKEND_ResponseNewFromFactory(&response, factory))) return;
    TRITONSERVER_Error *error = TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_INTERNAL, text);
    succeeded(TRITONBACKEND_ResponseSend(response, TRITONSERVER_RESPONSE_COMPLETE_FINAL, error));
    TRITONSERVER_ErrorDelete(error);
}

void answer_close(TRITONBACKEND_ResponseFactory *factory) {
    succeeded(TRITONBACKEND_ResponseFactorySendFlags(factory, TRITONSERVER_RESPONSE_COMPLETE_FINAL));
}

bool answer_is_abandoned(TRITONBACKEND_ResponseFactory *factory) {
    bool is_cancelled = false;
    return succeeded(TRITONBACKEND_ResponseFactoryIsCancelled(factory, &is_cancelled)) && is_cancelled;
}
