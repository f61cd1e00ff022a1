// Attention over the KV cache: keys and values as bytes, in blocks of tokens, in the fours that are multiplied.
#pragma once

#include "rounded_rows.h"

enum { BLOCK_TOKENS = 32, MAX_HEAD_SIZE = 256 };

// Of those of one key/value head that pass over a text together.
enum { MAX_QUERIES = 24 };

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

// Neighbouring ids of one text, whose keys and values are in its blocks by now.
typedef struct {
    const int32_t *blocks;  // the text's, from its start
    int first_row;
    int num_rows;  // MAX_QUERIES / (num_heads / num_kv_heads) at most
    int position;  // of the first id
} Span;

// Of all rows and heads, divided by the root of head_size and of ln 2, rounded, with scales and -128 times their sums.
typedef struct {
    Rounded *values;  // [rows][heads][head_size]
    float *scales;
    int32_t *offsets;
} Queries;

// Key and value of one head; the place is the token's within its block.
void kv_cache_store(const KvCache *cache, int layer, int kv_head, int block, int place, const float *key,
                    const float *value);
// What is attended to goes to the head's groups of `joined`; a row's is the same whatever rows are beside it.
void attend(const KvCache *cache, int layer, int kv_head, const Span *span, const Queries *queries,
            const RoundedRows *joined);
