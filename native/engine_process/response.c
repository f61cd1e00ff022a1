#include "response.h"

#include <string.h>

#include "triton_error.h"

enum { MAX_DIMS = 8 };

// What Triton does not take, for which there is a line in its log, is left out.
static void copy_to_output(
    TRITONBACKEND_Response *response, const char *name, TRITONSERVER_DataType type, const int64_t *shape,
    uint32_t num_dims, const char *bytes, uint64_t size) {
    TRITONBACKEND_Output *output;
    void *buffer;
    TRITONSERVER_MemoryType memory = TRITONSERVER_MEMORY_CPU;
    int64_t memory_id = 0;
    if (succeeded(TRITONBACKEND_ResponseOutput(response, &output, name, type, shape, num_dims)) &&
        succeeded(TRITONBACKEND_OutputBuffer(output, &buffer, size, &memory, &memory_id)) && size > 0)
        memcpy(buffer, bytes, size);
}

// FRAME_RESPONSE: key, flags, number of tensors; each tensor: name, type, number of dimensions, shape, size, bytes.
static bool add_tensor(TRITONBACKEND_Response *response, FrameReader *frame) {
    const char *name = frame_text(frame);
    TRITONSERVER_DataType type = frame_u8(frame);
    uint8_t num_dims = frame_u8(frame);
    if (num_dims > MAX_DIMS) return false;
    int64_t shape[MAX_DIMS];
    for (uint8_t i = 0; i < num_dims; i++) shape[i] = (int64_t)frame_u64(frame);
    uint64_t size = frame_u64(frame);
    const char *bytes = frame_take(frame, size);
    if (frame->is_broken) return false;
    copy_to_output(response, name, type, shape, num_dims, bytes, size);
    return true;
}

static TRITONBACKEND_Response *response_to(TRITONBACKEND_ResponseFactory *factory) {
    TRITONBACKEND_Response *response = NULL;
    succeeded(TRITONBACKEND_ResponseNewFromFactory(&response, factory));
    return response;
}

static bool add_tensors(TRITONBACKEND_Response *response, FrameReader *frame, uint8_t count) {
    for (uint8_t i = 0; i < count; i++)
        if (!add_tensor(response, frame)) return false;
    return true;
}

static bool send_tensors(TRITONBACKEND_ResponseFactory *factory, FrameReader *frame, uint8_t flags) {
    uint8_t count = frame_u8(frame);
    TRITONBACKEND_Response *response = response_to(factory);
    if (response == NULL) return true;
    bool is_whole = add_tensors(response, frame, count);
    succeeded(TRITONBACKEND_ResponseSend(response, flags, NULL));
    return is_whole;
}

static bool send_flags(TRITONBACKEND_ResponseFactory *factory, FrameReader *frame, uint8_t flags) {
    succeeded(TRITONBACKEND_ResponseFactorySendFlags(factory, flags));
    return !frame->is_broken;
}

typedef bool Send(TRITONBACKEND_ResponseFactory *factory, FrameReader *frame, uint8_t flags);

// Key and flags, then what `send` reads. An answer that is closed gets nothing more.
static bool pass_on(OpenRequests *requests, FrameReader *frame, Send *send) {
    uint64_t key = frame_u64(frame);
    uint8_t flags = frame_u8(frame);
    bool is_final = flags & TRITONSERVER_RESPONSE_COMPLETE_FINAL;
    TRITONBACKEND_ResponseFactory *factory =
        is_final ? open_requests_take(requests, key) : open_requests_find(requests, key);
    if (factory == NULL) return !frame->is_broken;
    bool is_whole = send(factory, frame, flags);
    if (is_final) succeeded(TRITONBACKEND_ResponseFactoryDelete(factory));
    return is_whole;
}

bool response_pass_on(OpenRequests *requests, FrameReader *frame) { return pass_on(requests, frame, send_tensors); }

bool response_pass_flags_on(OpenRequests *requests, FrameReader *frame) {
    return pass_on(requests, frame, send_flags);
}

bool response_pass_error_on(OpenRequests *requests, FrameReader *frame) {
    uint64_t key = frame_u64(frame);
    TRITONSERVER_Error_Code code = frame_u8(frame);
    response_fail(requests, key, code, frame_text(frame));
    return !frame->is_broken;
}

void response_fail(OpenRequests *requests, uint64_t key, TRITONSERVER_Error_Code code, const char *text) {
    TRITONBACKEND_ResponseFactory *factory = open_requests_take(requests, key);
    if (factory == NULL) return;
    TRITONBACKEND_Response *response = response_to(factory);
    if (response != NULL) {
        TRITONSERVER_Error *error = TRITONSERVER_ErrorNew(code, text);
        succeeded(TRITONBACKEND_ResponseSend(response, TRITONSERVER_RESPONSE_COMPLETE_FINAL, error));
        TRITONSERVER_ErrorDelete(error);
    }
    succeeded(TRITONBACKEND_ResponseFactoryDelete(factory));
}
