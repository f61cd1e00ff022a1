// A Llama decoder (arXiv:2302.13971) with weights in bytes.
#pragma once

#include <stdbool.h>

#include "attention.h"
#include "byte_product.h"

#define EXPORTED __attribute__((visibility("default")))

typedef struct {
    const float *input_norm;
    const float *attention_norm;
    ByteMatrix projections;  // queries, keys and values
    ByteMatrix output;
    ByteMatrix gate;
    ByteMatrix up;
    ByteMatrix down;
} Layer;

typedef struct {
    Heads heads;
    int num_layers;
    int hidden_size;
    int inner_size;
    float norm_epsilon;
    const float *frequencies;  // of the rotation, in radians a token
    const float *final_norm;
    ByteMatrix embedding;
    ByteMatrix head;
    const Layer *layers;
} Model;

// Ids of several texts, one text after another; a text's blocks reach to its last id.
typedef struct {
    const int64_t *ids;
    const int64_t *positions;
    int num_ids;
    const int32_t *text_begins;  // [num_texts + 1]
    const int32_t *blocks;
    const int32_t *block_begins;  // [num_texts + 1]
    int num_texts;
    const int64_t *wanted;  // the ids whose logits are
    int num_wanted;
} Step;

typedef struct Decoder Decoder;

// Keeps what the model points to, and the cache, which is laid out as KvCache says, zeros at first. NULL when memory or threads are lacking.
EXPORTED Decoder *decoder_open(const Model *model, uint8_t *kv_cache, int num_threads);
EXPORTED void decoder_close(Decoder *decoder);
// Writes logits [num_wanted][outputs of the head]; false when memory is lacking.
EXPORTED bool decoder_step(Decoder *decoder, const Step *step, float *logits);
