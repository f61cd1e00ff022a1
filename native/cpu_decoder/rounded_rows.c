#include "rounded_rows.h"

#include <immintrin.h>
#include <math.h>

#include "memory.h"

bool rounded_rows_resize(RoundedRows *rows, int num_rows, int width) {
    size_t size = (size_t)num_rows * (size_t)width;
    rows->width = width;
    return resize((void **)&rows->bytes, size) && resize((void **)&rows->scales, size / GROUP * sizeof(float)) &&
           resize((void **)&rows->offsets, size / GROUP * sizeof(int32_t));
}

void rounded_rows_free(RoundedRows *rows) {
    free(rows->bytes);
    free(rows->scales);
    free(rows->offsets);
}

static float largest_of(const float *values, int count) {
    __m512 most = _mm512_setzero_ps();
    for (int i = 0; i < count; i += 16) most = _mm512_max_ps(most, _mm512_abs_ps(_mm512_loadu_ps(values + i)));
    return _mm512_reduce_max_ps(most);
}

float round_to_bytes(const float *values, int count, int8_t *bytes, int32_t *sum) {
    float largest = largest_of(values, count);
    __m512 inverse = _mm512_set1_ps(largest > 0 ? 127 / largest : 0);
    __m512i sums = _mm512_setzero_si512();
    for (int i = 0; i < count; i += 16) {
        __m512i rounded = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(values + i), inverse));
        sums = _mm512_add_epi32(sums, rounded);
        _mm_storeu_si128((__m128i *)(bytes + i), _mm512_cvtepi32_epi8(rounded));
    }
    *sum = _mm512_reduce_add_epi32(sums);
    return largest / 127;
}

void round_group(const RoundedRows *rows, int row, int group, const float values[GROUP]) {
    int64_t place = (int64_t)row * (rows->width / GROUP) + group;
    int32_t sum;
    rows->scales[place] = round_to_bytes(values, GROUP, rows->bytes + place * GROUP, &sum);
    rows->offsets[place] = -128 * sum;
}

static float mean_square(const float *values, int count) {
    __m512 sum = _mm512_setzero_ps();
    for (int i = 0; i < count; i += 16) {
        __m512 part = _mm512_loadu_ps(values + i);
        sum = _mm512_fmadd_ps(part, part, sum);
    }
    return _mm512_reduce_add_ps(sum) / (float)count;
}

void round_normed(const RoundedRows *rows, int row, const float *values, const float *weights, float epsilon) {
    float scale = 1 / sqrtf(mean_square(values, rows->width) + epsilon);
    for (int group = 0; group < rows->width / GROUP; group++) {
        float normed[GROUP];
        for (int i = 0; i < GROUP; i++) normed[i] = values[group * GROUP + i] * scale * weights[group * GROUP + i];
        round_group(rows, row, group, normed);
    }
}
