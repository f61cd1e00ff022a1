// The text of a stream: ids in their order, from a place that prompt and seed decide (replay_words.py).
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    int32_t *ids;
    size_t num_ids;
    uint32_t crc_table[256];
} Words;

// Reads a file of int32; false if there is none in it.
bool words_open(Words *words, const char *path);
// The place of the first word; without a seed the prompt alone decides.
size_t words_start(const Words *words, const int32_t *prompt, size_t num_ids, const uint64_t *seed);
int32_t words_id(const Words *words, size_t place);
