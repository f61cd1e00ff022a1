#include "byte_product.h"

#include <immintrin.h>
#include <string.h>

// Inputs that one instruction multiplies with a column.
enum { LANES = 16, VECTORS = PANEL / LANES, QUAD = 4 };

typedef __m512i Sums[TILE_ROWS][VECTORS];
typedef __m512 Totals[TILE_ROWS][VECTORS];

static const uint8_t *panel_bytes(const ByteMatrix *matrix, int panel) {
    return matrix->bytes + (int64_t)panel * matrix->num_inputs * PANEL;
}

static const float *panel_scales(const ByteMatrix *matrix, int panel) {
    return matrix->scales + (int64_t)panel * (matrix->num_inputs / matrix->group) * PANEL;
}

static inline __attribute__((always_inline)) void sum_group(Sums sums, const int num_rows, const int8_t *bytes,
                                                            int width, const uint8_t *weights) {
    for (int quad = 0; quad < GROUP / QUAD; quad++) {
        __m512i parts[VECTORS];
#pragma GCC unroll 4
        for (int i = 0; i < VECTORS; i++)
            parts[i] = _mm512_load_si512(weights + (quad * PANEL + i * LANES) * QUAD);
#pragma GCC unroll 6
        for (int row = 0; row < num_rows; row++) {
            int values;
            memcpy(&values, bytes + (int64_t)row * width + quad * QUAD, sizeof values);
#pragma GCC unroll 4
            for (int i = 0; i < VECTORS; i++)
                sums[row][i] = _mm512_dpbusd_epi32(sums[row][i], parts[i], _mm512_set1_epi32(values));
        }
    }
}

static inline __attribute__((always_inline)) void add_group(Totals totals, Sums sums, const int num_rows,
                                                            const float *row_scales, int row_step,
                                                            const float *scales) {
#pragma GCC unroll 6
    for (int row = 0; row < num_rows; row++) {
        __m512 row_scale = _mm512_set1_ps(row_scales[row * row_step]);
#pragma GCC unroll 4
        for (int i = 0; i < VECTORS; i++) {
            __m512 scale = _mm512_mul_ps(row_scale, _mm512_load_ps(scales + i * LANES));
            totals[row][i] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[row][i]), scale, totals[row][i]);
        }
    }
}

// num_rows is a constant to the compiler, which keeps all sums in registers so.
static inline __attribute__((always_inline)) void multiply(const RoundedRows *rows, int first_row,
                                                           const int num_rows, const ByteMatrix *matrix, int panel,
                                                           float (*products)[PANEL]) {
    int num_groups = rows->width / GROUP;
    int64_t first_group = (int64_t)first_row * num_groups;
    const uint8_t *weights = panel_bytes(matrix, panel);
    const float *scales = panel_scales(matrix, panel);
    Totals totals = {0};
    for (int group = 0; group < num_groups; group++) {
        Sums sums;
#pragma GCC unroll 6
        for (int row = 0; row < num_rows; row++)
#pragma GCC unroll 4
            for (int i = 0; i < VECTORS; i++)
                sums[row][i] = _mm512_set1_epi32(rows->offsets[first_group + row * num_groups + group]);
        const int8_t *bytes = rows->bytes + (int64_t)first_row * rows->width + group * GROUP;
        sum_group(sums, num_rows, bytes, rows->width, weights + (int64_t)group * GROUP * PANEL);
        add_group(totals, sums, num_rows, rows->scales + first_group + group, num_groups,
                  scales + group * GROUP / matrix->group * PANEL);
    }
    for (int row = 0; row < num_rows; row++)
        for (int i = 0; i < VECTORS; i++) _mm512_storeu_ps(products[row] + i * LANES, totals[row][i]);
}

void multiply_tile(const RoundedRows *rows, int first_row, int num_rows, const ByteMatrix *matrix, int panel,
                   float (*products)[PANEL]) {
    switch (num_rows) {
        case 1: multiply(rows, first_row, 1, matrix, panel, products); break;
        case 2: multiply(rows, first_row, 2, matrix, panel, products); break;
        case 3: multiply(rows, first_row, 3, matrix, panel, products); break;
        case 4: multiply(rows, first_row, 4, matrix, panel, products); break;
        case 5: multiply(rows, first_row, 5, matrix, panel, products); break;
        default: multiply(rows, first_row, TILE_ROWS, matrix, panel, products);
    }
}

void unpack_row(const ByteMatrix *matrix, int output, float *weights) {
    const uint8_t *bytes = panel_bytes(matrix, output / PANEL) + output % PANEL * QUAD;
    const float *scales = panel_scales(matrix, output / PANEL) + output % PANEL;
    for (int i = 0; i < matrix->num_inputs; i++) {
        int weight = bytes[i / QUAD * QUAD * PANEL + i % QUAD] - 128;
        weights[i] = (float)weight * scales[i / matrix->group * PANEL];
    }
}
