// Keys and values as bytes, in blocks of tokens, in the fours that one instruction multiplies.
#pragma once

#include <stdint.h>

enum { BLOCK_TOKENS = 32, MAX_HEAD_SIZE = 256 };

typedef struct {
    int num_heads;
    int num_kv_heads;
    int head_size;  // a multiple of GROUP, MAX_HEAD_SIZE at most
} Heads;

typedef struct {
    uint8_t *bytes;  // [blocks][layers][kv heads][2 * BLOCK_TOKENS * (head_size + sizeof(float))]
    int num_layers;
    Heads heads;
} KvCache;

// A block of a layer and head, in the order in which it lies there. Each token has its own scales, so that what
// is rounded once stays as it is.
typedef struct {
    uint8_t *keys;   // with 128 added, [head_size / 4][BLOCK_TOKENS][4]
    int8_t *values;  // [BLOCK_TOKENS / 4][head_size][4]
    float *key_scales;
    float *value_scales;
} KvBlock;

KvBlock kv_cache_block(const KvCache *cache, int layer, int kv_head, int block);
// Key and value of one head; the place is the token's within its block.
void kv_cache_store(const KvCache *cache, int layer, int kv_head, int block, int place, const float *key,
                    const float *value);
