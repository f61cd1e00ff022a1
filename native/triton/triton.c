#include "triton.h"

#include <time.h>

enum { SECOND_NS = 1000000000 };

bool succeeded(TRITONSERVER_Error *error) {
    if (error == NULL) return true;
    TRITONSERVER_Error *unlogged =
        TRITONSERVER_LogMessage(TRITONSERVER_LOG_ERROR, __FILE__, __LINE__, TRITONSERVER_ErrorMessage(error));
    if (unlogged != NULL) TRITONSERVER_ErrorDelete(unlogged);
    TRITONSERVER_ErrorDelete(error);
    return false;
}

void *triton_state(TRITONBACKEND_Model *model) {
    void *state = NULL;
    succeeded(TRITONBACKEND_ModelState(model, &state));
    return state;
}

void *triton_output(
    TRITONBACKEND_Response *response, const char *name, TRITONSERVER_DataType type, const int64_t *shape,
    uint32_t num_dims, uint64_t size) {
    TRITONBACKEND_Output *output;
    void *buffer;
    TRITONSERVER_MemoryType memory = TRITONSERVER_MEMORY_CPU;
    int64_t memory_id = 0;
    if (succeeded(TRITONBACKEND_ResponseOutput(response, &output, name, type, shape, num_dims)) &&
        succeeded(TRITONBACKEND_OutputBuffer(output, &buffer, size, &memory, &memory_id)))
        return buffer;
    return NULL;
}

TRITONBACKEND_Response *triton_response(TRITONBACKEND_ResponseFactory *factory) {
    TRITONBACKEND_Response *response = NULL;
    succeeded(TRITONBACKEND_ResponseNewFromFactory(&response, factory));
    return response;
}

void triton_fail(TRITONBACKEND_ResponseFactory *factory, TRITONSERVER_Error_Code code, const char *text) {
    TRITONBACKEND_Response *response = triton_response(factory);
    if (response == NULL) return;
    TRITONSERVER_Error *error = TRITONSERVER_ErrorNew(code, text);
    succeeded(TRITONBACKEND_ResponseSend(response, TRITONSERVER_RESPONSE_COMPLETE_FINAL, error));
    TRITONSERVER_ErrorDelete(error);
}

bool triton_is_cancelled(TRITONBACKEND_ResponseFactory *factory) {
    bool is_cancelled = false;
    return succeeded(TRITONBACKEND_ResponseFactoryIsCancelled(factory, &is_cancelled)) && is_cancelled;
}

uint64_t nanoseconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

void count_and_release(
    TRITONBACKEND_ModelInstance *instance, TRITONBACKEND_Request **requests, uint32_t count, uint64_t start_ns) {
    uint64_t end_ns = nanoseconds_now();
    for (uint32_t i = 0; i < count; i++) {
        succeeded(TRITONBACKEND_ModelInstanceReportStatistics(
            instance, requests[i], true, start_ns, start_ns, end_ns, end_ns));
        succeeded(TRITONBACKEND_RequestRelease(requests[i], TRITONSERVER_REQUEST_RELEASE_ALL));
    }
    succeeded(TRITONBACKEND_ModelInstanceReportBatchStatistics(instance, count, start_ns, start_ns, end_ns, end_ns));
}
