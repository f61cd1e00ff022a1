#include "byte_product.h"

// Columns whose sums are in registers at once.
enum { STRIP = TILE_VECTORS * LANES, CACHE_LINE = 64 };

typedef Ints Sums[TILE_ROWS][TILE_VECTORS];

static const uint8_t *panel_bytes(const ByteMatrix *matrix, int panel) {
    return matrix->bytes + (int64_t)panel * matrix->num_inputs * PANEL;
}

static const float *panel_scales(const ByteMatrix *matrix, int panel) {
    return matrix->scales + (int64_t)panel * (matrix->num_inputs / matrix->group) * PANEL;
}

static inline __attribute__((always_inline)) void sum_group(Sums sums, const int num_rows, const Rounded *values,
                                                            int width, const uint8_t *weights) {
    for (int i = 0; i < GROUP; i += FOUR) {
        // One row waits for memory, and the processor does not guess the next lines where a strip leaves some out.
        if (num_rows == 1 && STRIP < PANEL)
            for (int j = 0; j < STRIP * FOUR; j += CACHE_LINE) __builtin_prefetch(weights + (GROUP + i) * PANEL + j);
        Columns columns[TILE_VECTORS];
#pragma GCC unroll 4
        for (int j = 0; j < TILE_VECTORS; j++) columns[j] = load_unsigned(weights + i * PANEL + j * LANES * FOUR);
#pragma GCC unroll 6
        for (int row = 0; row < num_rows; row++) {
            Four four = repeat_four(values + (int64_t)row * width + i);
#pragma GCC unroll 4
            for (int j = 0; j < TILE_VECTORS; j++) sums[row][j] = multiply_four(sums[row][j], columns[j], four);
        }
    }
}

static inline __attribute__((always_inline)) void add_group(float (*products)[PANEL], int column, Sums sums,
                                                            const int num_rows, const float *row_scales,
                                                            int row_step, const float *scales) {
#pragma GCC unroll 6
    for (int row = 0; row < num_rows; row++) {
        Floats row_scale = all_floats(row_scales[row * row_step]);
#pragma GCC unroll 4
        for (int j = 0; j < TILE_VECTORS; j++) {
            Floats scale = row_scale * load_floats(scales + column + j * LANES);
            float *product = products[row] + column + j * LANES;
            store_floats(product, multiply_add(as_floats(sums[row][j]), scale, load_floats(product)));
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
    memset(products, 0, (size_t)num_rows * sizeof *products);
    for (int group = 0; group < num_groups; group++) {
        const Rounded *values = rows->values + (int64_t)first_row * rows->width + group * GROUP;
        const float *group_scales = scales + group * GROUP / matrix->group * PANEL;
        for (int column = 0; column < PANEL; column += STRIP) {
            Sums sums;
#pragma GCC unroll 6
            for (int row = 0; row < num_rows; row++)
#pragma GCC unroll 4
                for (int j = 0; j < TILE_VECTORS; j++)
                    sums[row][j] = all_ints(rows->offsets[first_group + row * num_groups + group]);
            sum_group(sums, num_rows, values, rows->width, weights + ((int64_t)group * GROUP * PANEL + column * FOUR));
            add_group(products, column, sums, num_rows, rows->scales + first_group + group, num_groups,
                      group_scales);
        }
    }
}

void multiply_tile(const RoundedRows *rows, int first_row, int num_rows, const ByteMatrix *matrix, int panel,
                   float (*products)[PANEL]) {
    switch (num_rows) {
        case 1: multiply(rows, first_row, 1, matrix, panel, products); break;
        case 2: multiply(rows, first_row, 2, matrix, panel, products); break;
        case 3: multiply(rows, first_row, 3, matrix, panel, products); break;
#if TILE_ROWS > 4
        case 4: multiply(rows, first_row, 4, matrix, panel, products); break;
        case 5: multiply(rows, first_row, 5, matrix, panel, products); break;
#endif
        default: multiply(rows, first_row, TILE_ROWS, matrix, panel, products);
    }
}

void unpack_row(const ByteMatrix *matrix, int output, float *weights) {
    const uint8_t *bytes = panel_bytes(matrix, output / PANEL) + output % PANEL * FOUR;
    const float *scales = panel_scales(matrix, output / PANEL) + output % PANEL;
    for (int i = 0; i < matrix->num_inputs; i++) {
        int weight = bytes[i / FOUR * FOUR * PANEL + i % FOUR] - 128;
        weights[i] = (float)weight * scales[i / matrix->group * PANEL];
    }
}
