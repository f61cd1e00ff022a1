#include "frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { FIRST_CAPACITY = 1024 };

FrameWriter frame_begin(uint8_t kind) {
    FrameWriter frame = {malloc(FIRST_CAPACITY), FRAME_SIZE_BYTES, FIRST_CAPACITY};
    frame_put_u8(&frame, kind);
    return frame;
}

void frame_put(FrameWriter *frame, const void *bytes, size_t size) {
    while (frame->size + size > frame->capacity) {
        frame->capacity *= 2;
        frame->bytes = realloc(frame->bytes, frame->capacity);
    }
    if (size > 0) memcpy(frame->bytes + frame->size, bytes, size);
    frame->size += size;
}

void frame_put_u8(FrameWriter *frame, uint8_t value) { frame_put(frame, &value, sizeof value); }
void frame_put_u32(FrameWriter *frame, uint32_t value) { frame_put(frame, &value, sizeof value); }
void frame_put_u64(FrameWriter *frame, uint64_t value) { frame_put(frame, &value, sizeof value); }

void frame_put_text(FrameWriter *frame, const char *text) {
    frame_put_u32(frame, (uint32_t)strlen(text));
    frame_put(frame, text, strlen(text));
}

bool frame_send(FrameWriter *frame, int socket) {
    uint32_t size = (uint32_t)(frame->size - FRAME_SIZE_BYTES);
    memcpy(frame->bytes, &size, FRAME_SIZE_BYTES);
    size_t sent = 0;
    while (sent < frame->size) {
        ssize_t count = send(socket, frame->bytes + sent, frame->size - sent, MSG_NOSIGNAL);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) break;
        sent += (size_t)count;
    }
    return sent == frame->size;
}

void frame_free(FrameWriter *frame) { free(frame->bytes); }

const char *frame_take(FrameReader *frame, size_t size) {
    if ((size_t)(frame->end - frame->at) < size) {
        frame->is_broken = true;
        frame->at = frame->end;
        return NULL;
    }
    const char *taken = frame->at;
    frame->at += size;
    return taken;
}

static void take_into(FrameReader *frame, void *value, size_t size) {
    const char *taken = frame_take(frame, size);
    if (taken == NULL)
        memset(value, 0, size);
    else
        memcpy(value, taken, size);
}

uint8_t frame_u8(FrameReader *frame) {
    uint8_t value;
    take_into(frame, &value, sizeof value);
    return value;
}

uint32_t frame_u32(FrameReader *frame) {
    uint32_t value;
    take_into(frame, &value, sizeof value);
    return value;
}

uint64_t frame_u64(FrameReader *frame) {
    uint64_t value;
    take_into(frame, &value, sizeof value);
    return value;
}

double frame_double(FrameReader *frame) {
    double value;
    take_into(frame, &value, sizeof value);
    return value;
}

const char *frame_text(FrameReader *frame) {
    uint32_t size = frame_u32(frame);
    const char *text = frame_take(frame, (size_t)size + 1);
    if (text == NULL || text[size] != '\0') {
        frame->is_broken = true;
        return "";
    }
    return text;
}
