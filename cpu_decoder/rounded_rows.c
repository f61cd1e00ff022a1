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

void round_group(const RoundedRows *rows, int row, int group, const float values[GROUP]) {
    __m512 parts[GROUP / 16];
    __m512 most = _mm512_setzero_ps();
    for (int i = 0; i < GROUP / 16; i++) {
        parts[i] = _mm512_loadu_ps(values + 16 * i);
        most = _mm512_max_ps(most, _mm512_abs_ps(parts[i]));
    }
    float largest = _mm512_reduce_max_ps(most);
    __m512 inverse = _mm512_set1_ps(largest > 0 ? 127 / largest : 0);
    int8_t *bytes = rows->bytes + (int64_t)row * rows->width + group * GROUP;
    __m512i sum = _mm512_setzero_si512();
    for (int i = 0; i < GROUP / 16; i++) {
        __m512i rounded = _mm512_cvtps_epi32(_mm512_mul_ps(parts[i], inverse));
        sum = _mm512_add_epi32(sum, rounded);
        _mm_storeu_si128((__m128i *)(bytes + 16 * i), _mm512_cvtepi32_epi8(rounded));
    }
    int64_t place = (int64_t)row * (rows->width / GROUP) + group;
    rows->scales[place] = largest / 127;
    rows->offsets[place] = -128 * _mm512_reduce_add_epi32(sum);
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
