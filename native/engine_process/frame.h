// Frames between tritonserver and the engine's process, over one socket (engine_socket.py): their size in four bytes,
// then their kind in one, then fields as they lie in memory; texts and tensors after their size.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Of the size itself, which does not count them.
enum { FRAME_SIZE_BYTES = 4 };
// To the engine's process.
enum { FRAME_START = 0, FRAME_REQUEST = 1, FRAME_CANCELLED = 2 };
// From it.
enum {
    FRAME_READY = 0,
    FRAME_FAILED = 1,
    FRAME_RESPONSE = 2,
    FRAME_FLAGS = 3,
    FRAME_ERROR = 4,
    FRAME_FAMILY = 5,
    FRAME_METRIC = 6,
    FRAME_GAUGE = 7,
};

typedef struct {
    char *bytes;
    size_t size;
    size_t capacity;
} FrameWriter;

// A place in a frame; once something was missing it stays at its end, and reads zeros.
typedef struct {
    const char *at;
    const char *end;
    bool is_broken;
} FrameReader;

FrameWriter frame_begin(uint8_t kind);
void frame_put(FrameWriter *frame, const void *bytes, size_t size);
void frame_put_u8(FrameWriter *frame, uint8_t value);
void frame_put_u32(FrameWriter *frame, uint32_t value);
void frame_put_u64(FrameWriter *frame, uint64_t value);
void frame_put_text(FrameWriter *frame, const char *text);
// Sends the whole frame; false if the other side is gone.
bool frame_send(FrameWriter *frame, int socket);
void frame_free(FrameWriter *frame);

// NULL where there are fewer bytes.
const char *frame_take(FrameReader *frame, size_t size);
uint8_t frame_u8(FrameReader *frame);
uint32_t frame_u32(FrameReader *frame);
uint64_t frame_u64(FrameReader *frame);
double frame_double(FrameReader *frame);
// With its closing zero, which the other side sends along; never NULL.
const char *frame_text(FrameReader *frame);
