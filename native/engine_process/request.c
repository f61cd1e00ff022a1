#include "request.h"

#include "triton_error.h"

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
