#include "words.h"

#include <stdio.h>
#include <stdlib.h>

// Far apart, so that the streams of neighbouring seeds do not run into each other.
enum { SEED_STRIDE = 7919 };

static uint32_t crc_of_byte(uint32_t byte) {
    for (int bit = 0; bit < 8; bit++) byte = byte & 1 ? byte >> 1 ^ 0xEDB88320u : byte >> 1;
    return byte;
}

bool words_open(Words *words, const char *path) {
    for (uint32_t byte = 0; byte < 256; byte++) words->crc_table[byte] = crc_of_byte(byte);
    FILE *file = fopen(path, "rb");
    if (file == NULL) return false;
    fseek(file, 0, SEEK_END);
    words->num_ids = (size_t)ftell(file) / sizeof *words->ids;
    rewind(file);
    words->ids = calloc(words->num_ids + 1, sizeof *words->ids);
    bool is_whole = fread(words->ids, sizeof *words->ids, words->num_ids, file) == words->num_ids;
    fclose(file);
    return is_whole && words->num_ids > 0;
}

// As zlib.crc32.
static uint32_t crc(const Words *words, const uint8_t *bytes, size_t num_bytes) {
    uint32_t value = ~0u;
    while (num_bytes--) value = value >> 8 ^ words->crc_table[(value ^ *bytes++) & 0xFF];
    return ~value;
}

size_t words_start(const Words *words, const int32_t *prompt, size_t num_ids, const uint64_t *seed) {
    size_t place = crc(words, (const uint8_t *)prompt, num_ids * sizeof *prompt) % words->num_ids;
    // Term by term, for no product may pass 64 bits.
    if (seed != NULL) place += (*seed % words->num_ids + 1) * SEED_STRIDE % words->num_ids;
    return place % words->num_ids;
}

int32_t words_id(const Words *words, size_t place) { return words->ids[place % words->num_ids]; }
