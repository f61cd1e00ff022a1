#include "requests.h"

#include <string.h>

enum { MAX_DIMS = 8 };

static bool write_bytes(TRITONBACKEND_Input *input, uint32_t num_buffers, FrameWriter *frame) {
    for (uint32_t i = 0; i < num_buffers; i++) {
        const void *buffer;
        uint64_t size;
        TRITONSERVER_MemoryType memory = TRITONSERVER_MEMORY_CPU;
        int64_t memory_id = 0;
        if (!succeeded(TRITONBACKEND_InputBuffer(input, i, &buffer, &size, &memory, &memory_id))) return false;
        frame_put(frame, buffer, size);
    }
    return true;
}

static bool write_input(TRITONBACKEND_Input *input, FrameWriter *frame) {
    const char *name;
    TRITONSERVER_DataType type;
    const int64_t *shape;
    uint32_t num_dims, num_buffers;
    uint64_t size;
    if (!succeeded(TRITONBACKEND_InputProperties(input, &name, &type, &shape, &num_dims, &size, &num_buffers)))
        return false;
    frame_put_text(frame, name);
    frame_put_u8(frame, (uint8_t)type);
    frame_put_u8(frame, (uint8_t)num_dims);
    frame_put(frame, shape, num_dims * sizeof *shape);
    frame_put_u64(frame, size);
    return write_bytes(input, num_buffers, frame);
}

static bool write_outputs(TRITONBACKEND_Request *asked, FrameWriter *frame) {
    uint32_t count;
    const char *name;
    if (!succeeded(TRITONBACKEND_RequestOutputCount(asked, &count))) return false;
    frame_put_u8(frame, (uint8_t)count);
    for (uint32_t i = 0; i < count; i++) {
        if (!succeeded(TRITONBACKEND_RequestOutputName(asked, i, &name))) return false;
        frame_put_text(frame, name);
    }
    return true;
}

// FRAME_REQUEST: key, id, the wanted outputs' number and names, the inputs' number, each one's name, type, number of
// dimensions, shape, size and bytes.
bool request_write(TRITONBACKEND_Request *asked, FrameWriter *frame) {
    const char *id;
    uint32_t count;
    if (!succeeded(TRITONBACKEND_RequestId(asked, &id)) || !succeeded(TRITONBACKEND_RequestInputCount(asked, &count)))
        return false;
    frame_put_text(frame, id);
    if (!write_outputs(asked, frame)) return false;
    frame_put_u8(frame, (uint8_t)count);
    for (uint32_t i = 0; i < count; i++) {
        TRITONBACKEND_Input *input;
        if (!succeeded(TRITONBACKEND_RequestInputByIndex(asked, i, &input)) || !write_input(input, frame)) return false;
    }
    return true;
}

// FRAME_RESPONSE: key, flags, number of tensors; each tensor: name, type, number of dimensions, shape, size, bytes.
// A tensor that Triton does not take is left out.
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
    void *buffer = triton_output(response, name, type, shape, num_dims, size);
    if (buffer != NULL && size > 0) memcpy(buffer, bytes, size);
    return true;
}

static bool add_tensors(TRITONBACKEND_Response *response, FrameReader *frame, uint8_t count) {
    for (uint8_t i = 0; i < count; i++)
        if (!add_tensor(response, frame)) return false;
    return true;
}

static bool send_tensors(TRITONBACKEND_ResponseFactory *factory, FrameReader *frame, uint8_t flags) {
    uint8_t count = frame_u8(frame);
    TRITONBACKEND_Response *response = triton_response(factory);
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
    triton_fail(factory, code, text);
    succeeded(TRITONBACKEND_ResponseFactoryDelete(factory));
}
