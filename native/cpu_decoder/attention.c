#include "attention.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "power_of_two.h"

// The tokens after which a softmax is brought up to date (arXiv:2205.14135); they begin at multiples of SEGMENT,
// so that a query's sums do not depend on those beside it.
enum { SEGMENT_BLOCKS = 4, SEGMENT = SEGMENT_BLOCKS * BLOCK_TOKENS };

// Queries whose sums are in registers at once; for weights of two bytes half as many.
enum { SCORED = 6, ADDED = 3, LANES = 16, PART = 64, QUAD = 4 };

// Far below any score; with infinity there would be differences that are no numbers.
#define UNSEEN (-1e30f)

typedef struct {
    const int8_t *queries[MAX_QUERIES];
    float query_scales[MAX_QUERIES];
    int32_t query_offsets[MAX_QUERIES];
    int num_queries;
    // Of a segment; those that a text does not have are its last one again, of which nothing is seen.
    KvBlock blocks[SEGMENT_BLOCKS];
    int num_blocks;
    float scores[MAX_QUERIES][SEGMENT];
    // In units of the largest of the segment / 65535: their upper bytes and their lower ones.
    uint8_t upper[MAX_QUERIES][SEGMENT];
    uint8_t lower[MAX_QUERIES][SEGMENT];
    float units[MAX_QUERIES];
    float totals[MAX_QUERIES][MAX_HEAD_SIZE];
    float most[MAX_QUERIES];
    float sums[MAX_QUERIES];
} Pass;

static int least(int one, int other) { return one < other ? one : other; }

static __m512i repeat_quad(const void *quad) {
    int bits;
    memcpy(&bits, quad, sizeof bits);
    return _mm512_set1_epi32(bits);
}

static void write_scores(Pass *pass, int query, int place, __m512i sums, const float *key_scales) {
    __m512 scale = _mm512_mul_ps(_mm512_set1_ps(pass->query_scales[query]), _mm512_loadu_ps(key_scales));
    _mm512_storeu_ps(pass->scores[query] + place, _mm512_mul_ps(_mm512_cvtepi32_ps(sums), scale));
}

// num_queries is a constant to the compiler, which keeps all sums in registers so; here and below.
static inline __attribute__((always_inline)) void score(Pass *pass, int first_query, const int num_queries,
                                                        int number, int head_size) {
    const KvBlock *block = &pass->blocks[number];
    __m512i sums[SCORED][2];
    for (int i = 0; i < num_queries; i++)
        sums[i][0] = sums[i][1] = _mm512_set1_epi32(pass->query_offsets[first_query + i]);
    for (int dimension = 0; dimension < head_size; dimension += QUAD) {
        const uint8_t *keys = block->keys + dimension * BLOCK_TOKENS;
        __m512i first = _mm512_loadu_si512(keys), second = _mm512_loadu_si512(keys + LANES * QUAD);
#pragma GCC unroll 6
        for (int i = 0; i < num_queries; i++) {
            __m512i query = repeat_quad(pass->queries[first_query + i] + dimension);
            sums[i][0] = _mm512_dpbusd_epi32(sums[i][0], first, query);
            sums[i][1] = _mm512_dpbusd_epi32(sums[i][1], second, query);
        }
    }
    for (int i = 0; i < num_queries; i++)
        for (int half = 0; half < 2; half++)
            write_scores(pass, first_query + i, number * BLOCK_TOKENS + half * LANES, sums[i][half],
                         block->key_scales + half * LANES);
}

static inline __attribute__((always_inline)) void add(Pass *pass, int first_query, const int num_queries,
                                                      int head_size, int part) {
    __m512i upper[ADDED][PART / LANES] = {0}, lower[ADDED][PART / LANES] = {0};
    for (int token = 0; token < pass->num_blocks * BLOCK_TOKENS; token += QUAD) {
        const int8_t *values =
            pass->blocks[token / BLOCK_TOKENS].values + (token % BLOCK_TOKENS) * head_size + part * QUAD;
        __m512i parts[PART / LANES];
#pragma GCC unroll 4
        for (int j = 0; j < PART / LANES; j++) parts[j] = _mm512_loadu_si512(values + j * LANES * QUAD);
#pragma GCC unroll 3
        for (int i = 0; i < num_queries; i++) {
            __m512i high = repeat_quad(pass->upper[first_query + i] + token);
            __m512i low = repeat_quad(pass->lower[first_query + i] + token);
#pragma GCC unroll 4
            for (int j = 0; j < PART / LANES; j++) {
                upper[i][j] = _mm512_dpbusd_epi32(upper[i][j], high, parts[j]);
                lower[i][j] = _mm512_dpbusd_epi32(lower[i][j], low, parts[j]);
            }
        }
    }
    for (int i = 0; i < num_queries; i++)
        for (int j = 0; j < PART / LANES; j++) {
            // Less than 2^31: 65,535 times 127 times SEGMENT.
            __m512i sum = _mm512_add_epi32(_mm512_slli_epi32(upper[i][j], 8), lower[i][j]);
            float *total = pass->totals[first_query + i] + part + j * LANES;
            __m512 unit = _mm512_set1_ps(pass->units[first_query + i]);
            _mm512_storeu_ps(total, _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), unit, _mm512_loadu_ps(total)));
        }
}

static void score_block(Pass *pass, int number, int head_size) {
    for (int first = 0; first < pass->num_queries; first += SCORED) {
        switch (least(pass->num_queries - first, SCORED)) {
            case 1: score(pass, first, 1, number, head_size); break;
            case 2: score(pass, first, 2, number, head_size); break;
            case 3: score(pass, first, 3, number, head_size); break;
            case 4: score(pass, first, 4, number, head_size); break;
            case 5: score(pass, first, 5, number, head_size); break;
            default: score(pass, first, SCORED, number, head_size);
        }
    }
}

static void add_part(Pass *pass, int head_size, int part) {
    for (int first = 0; first < pass->num_queries; first += ADDED) {
        switch (least(pass->num_queries - first, ADDED)) {
            case 1: add(pass, first, 1, head_size, part); break;
            case 2: add(pass, first, 2, head_size, part); break;
            default: add(pass, first, ADDED, head_size, part);
        }
    }
}

static void scale(float *values, int count, float factor) {
    for (int i = 0; i < count; i++) values[i] *= factor;
}

static void raise_most(Pass *pass, int query, float most, int head_size) {
    if (most <= pass->most[query]) return;
    float factor = exp2f(pass->most[query] - most);
    pass->most[query] = most;
    pass->sums[query] *= factor;
    scale(pass->totals[query], head_size, factor);
}

typedef __m512 Vectors[SEGMENT / LANES];

static float load_scores(const Pass *pass, int query, int num_seen, Vectors scores) {
    __m512i numbers = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512 largest = _mm512_set1_ps(UNSEEN);
    for (int i = 0; i < SEGMENT / LANES; i++) {
        __mmask16 seen = _mm512_cmplt_epi32_mask(numbers, _mm512_set1_epi32(num_seen - i * LANES));
        scores[i] = _mm512_mask_loadu_ps(_mm512_set1_ps(UNSEEN), seen, pass->scores[query] + i * LANES);
        largest = _mm512_max_ps(largest, scores[i]);
    }
    return _mm512_reduce_max_ps(largest);
}

// In place of the scores; returns the weights' sum, and in `most` the largest of what the values are multiplied with.
static float weigh(const Pass *pass, int query, Vectors scores, float *most) {
    __m512 above = _mm512_set1_ps(pass->most[query]), sum = _mm512_setzero_ps(), largest = _mm512_setzero_ps();
    for (int i = 0; i < SEGMENT / LANES; i++) {
        const float *value_scales = pass->blocks[i * LANES / BLOCK_TOKENS].value_scales + i * LANES % BLOCK_TOKENS;
        __m512 weights = power_of_two(_mm512_sub_ps(scores[i], above));
        sum = _mm512_add_ps(sum, weights);
        scores[i] = _mm512_mul_ps(weights, _mm512_loadu_ps(value_scales));
        largest = _mm512_max_ps(largest, scores[i]);
    }
    *most = _mm512_reduce_max_ps(largest);
    return _mm512_reduce_add_ps(sum);
}

// A query's weights of the first num_seen tokens of a segment; those of the others are 0.
static void weigh_segment(Pass *pass, int query, int num_seen, int head_size) {
    Vectors weights;
    float most;
    raise_most(pass, query, load_scores(pass, query, num_seen, weights), head_size);
    pass->sums[query] += weigh(pass, query, weights, &most);
    pass->units[query] = most / 65535;
    __m512 inverse = _mm512_set1_ps(most > 0 ? 65535 / most : 0);
    for (int i = 0; i < SEGMENT / LANES; i++) {
        __m512i rounded = _mm512_cvtps_epi32(_mm512_mul_ps(weights[i], inverse));
        __m128i upper = _mm512_cvtepi32_epi8(_mm512_srli_epi32(rounded, 8)), lower = _mm512_cvtepi32_epi8(rounded);
        _mm_storeu_si128((__m128i *)(pass->upper[query] + i * LANES), upper);
        _mm_storeu_si128((__m128i *)(pass->lower[query] + i * LANES), lower);
    }
}

static void begin(Pass *pass, const Heads *heads, int kv_head, const Span *span, const Queries *queries) {
    int per_kv_head = heads->num_heads / heads->num_kv_heads;
    pass->num_queries = span->num_rows * per_kv_head;
    for (int query = 0; query < pass->num_queries; query++) {
        int64_t row = span->first_row + query / per_kv_head;
        int64_t head = row * heads->num_heads + kv_head * per_kv_head + query % per_kv_head;
        pass->queries[query] = queries->bytes + head * heads->head_size;
        pass->query_scales[query] = queries->scales[head];
        pass->query_offsets[query] = queries->offsets[head];
        pass->most[query] = -INFINITY;
        pass->sums[query] = 0;
        memset(pass->totals[query], 0, (size_t)heads->head_size * sizeof(float));
    }
}

static void finish(Pass *pass, const Heads *heads, int kv_head, const Span *span, const RoundedRows *joined) {
    int per_kv_head = heads->num_heads / heads->num_kv_heads;
    int groups = heads->head_size / GROUP;
    for (int query = 0; query < pass->num_queries; query++) {
        int row = span->first_row + query / per_kv_head;
        int head = kv_head * per_kv_head + query % per_kv_head;
        scale(pass->totals[query], heads->head_size, 1 / pass->sums[query]);
        for (int group = 0; group < groups; group++)
            round_group(joined, row, head * groups + group, pass->totals[query] + group * GROUP);
    }
}

void attend(const KvCache *cache, int layer, int kv_head, const Span *span, const Queries *queries,
            const RoundedRows *joined) {
    Pass pass;
    int size = cache->heads.head_size, end = span->position + span->num_rows;
    begin(&pass, &cache->heads, kv_head, span, queries);
    for (int start = 0; start < end; start += SEGMENT) {
        pass.num_blocks = (least(end - start, SEGMENT) + BLOCK_TOKENS - 1) / BLOCK_TOKENS;
        for (int i = 0; i < SEGMENT_BLOCKS; i++) {
            int block = span->blocks[start / BLOCK_TOKENS + least(i, pass.num_blocks - 1)];
            pass.blocks[i] = kv_cache_block(cache, layer, kv_head, block);
        }
        for (int i = 0; i < pass.num_blocks; i++) score_block(&pass, i, size);
        for (int query = 0; query < pass.num_queries; query++) {
            int row = query / (pass.num_queries / span->num_rows);
            weigh_segment(&pass, query, span->position + row + 1 - start, size);
        }
        for (int part = 0; part < size; part += PART) add_part(&pass, size, part);
    }
    finish(&pass, &cache->heads, kv_head, span, joined);
}
