// Attention over the KV cache.
#pragma once

#include "kv_cache.h"
#include "rounded_rows.h"

// Of those of one key/value head that pass over a text together.
enum { MAX_QUERIES = 24 };

// Neighbouring ids of one text, whose keys and values are in its blocks by now.
typedef struct {
    const int32_t *blocks;  // the text's, from its start
    int first_row;
    int num_rows;  // MAX_QUERIES / (num_heads / num_kv_heads) at most
    int position;  // of the first id
} Span;

// Of all rows and heads, divided by the root of head_size and of ln 2, as bytes with scales and -128 times their sums.
typedef struct {
    int8_t *bytes;  // [rows][heads][head_size]
    float *scales;
    int32_t *offsets;
} Queries;

// What is attended to goes to the head's groups of `joined`; a row's is the same whatever rows are beside it.
void attend(const KvCache *cache, int layer, int kv_head, const Span *span, const Queries *queries,
            const RoundedRows *joined);
