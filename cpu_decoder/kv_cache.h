// Keys and values as brain floats, in blocks of tokens, in the pairs that one instruction multiplies.
#pragma once

#include <stdint.h>

enum { BLOCK_TOKENS = 32, MAX_HEAD_SIZE = 256 };

typedef struct {
    int num_heads;
    int num_kv_heads;
    int head_size;  // a multiple of GROUP, MAX_HEAD_SIZE at most
} Heads;

// A block of a layer and head has its keys as [head_size / 2][BLOCK_TOKENS][2], then its values as
// [BLOCK_TOKENS / 2][head_size][2].
typedef struct {
    uint16_t *numbers;  // [blocks][layers][kv heads][2][BLOCK_TOKENS * head_size]
    int num_layers;
    Heads heads;
} KvCache;

const uint16_t *kv_cache_keys(const KvCache *cache, int layer, int kv_head, int block);
const uint16_t *kv_cache_values(const KvCache *cache, int layer, int kv_head, int block);
// The place is the token's within its block; key and value are one head's.
void kv_cache_store_key(const KvCache *cache, int layer, int kv_head, int block, int place, const float *key);
void kv_cache_store_value(const KvCache *cache, int layer, int kv_head, int block, int place, const float *value);
// Rounds to the nearest; count is a multiple of 16.
void to_brain_floats(const float *values, uint16_t *rounded, int count);
