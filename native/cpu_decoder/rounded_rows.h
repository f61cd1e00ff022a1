// Activations as bytes, each GROUP of a row with a scale of its own: what products of bytes are made of.
#pragma once

#include <stdint.h>

#include "vectors.h"

// By 64 a prompt takes an eighth less than by 32, for half a percent of perplexity (docs/cpu-engine.md).
enum { GROUP = 64 };

typedef struct {
    int width;
    Rounded *values;   // [rows][width]
    float *scales;     // [rows][width / GROUP]
    int32_t *offsets;  // as scales: -128 times the sum of the values, for weights that are 128 too high
} RoundedRows;

// Rounds to whole numbers, the largest to 127 or -127, and returns their scale; count is a multiple of 16.
float round_values(const float *values, int count, Rounded *whole, int32_t *sum);
void round_group(const RoundedRows *rows, int row, int group, const float values[GROUP]);
// RMSNorm (arXiv:1910.07467) of a row, rounded.
void round_normed(const RoundedRows *rows, int row, const float *values, const float *weights, float epsilon);
