#include "rounded_rows.h"

#include <math.h>

static float largest_of(const float *values, int count) {
    Floats most = all_floats(0);
    for (int i = 0; i < count; i += LANES) most = larger(most, absolute(load_floats(values + i)));
    return largest_lane(most);
}

float round_values(const float *values, int count, Rounded *whole, int32_t *sum) {
    float largest = largest_of(values, count);
    Floats inverse = all_floats(largest > 0 ? 127 / largest : 0);
    Ints sums = all_ints(0);
    for (int i = 0; i < count; i += LANES) {
        Ints part = rounded(load_floats(values + i) * inverse);
        sums = add_ints(sums, part);
        store_rounded(whole + i, part);
    }
    *sum = sum_of_int_lanes(sums);
    return largest / 127;
}

void round_group(const RoundedRows *rows, int row, int group, const float values[GROUP]) {
    int64_t place = (int64_t)row * (rows->width / GROUP) + group;
    int32_t sum;
    rows->scales[place] = round_values(values, GROUP, rows->values + place * GROUP, &sum);
    rows->offsets[place] = -128 * sum;
}

static float mean_square(const float *values, int count) {
    Floats sum = all_floats(0);
    for (int i = 0; i < count; i += LANES) {
        Floats part = load_floats(values + i);
        sum = multiply_add(part, part, sum);
    }
    return sum_of_lanes(sum) / (float)count;
}

void round_normed(const RoundedRows *rows, int row, const float *values, const float *weights, float epsilon) {
    float scale = 1 / sqrtf(mean_square(values, rows->width) + epsilon);
    for (int group = 0; group < rows->width / GROUP; group++) {
        float normed[GROUP];
        for (int i = 0; i < GROUP; i++) normed[i] = values[group * GROUP + i] * scale * weights[group * GROUP + i];
        round_group(rows, row, group, normed);
    }
}
