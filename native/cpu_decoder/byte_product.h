// Products of rounded rows with weights in bytes.
#pragma once

#include "rounded_rows.h"

// Columns of one task.
enum { PANEL = 64 };

// Weights with 128 added, in the order in which they are read, and a scale for each group of a column.
typedef struct {
    const uint8_t *bytes;  // [panels][inputs / 4][PANEL][4]
    const float *scales;   // [panels][inputs / group][PANEL]
    int num_inputs;
    int num_outputs;  // whole panels
    int group;        // a multiple of GROUP
} ByteMatrix;

// The products of TILE_ROWS rows, or less, with the weights of one panel: [num_rows][PANEL]. A row's are the
// same, to the last bit, whatever rows are beside it.
void multiply_tile(const RoundedRows *rows, int first_row, int num_rows, const ByteMatrix *matrix, int panel,
                   float (*products)[PANEL]);
// The weights of one output.
void unpack_row(const ByteMatrix *matrix, int output, float *weights);
