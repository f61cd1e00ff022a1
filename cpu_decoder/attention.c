#include "attention.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "power_of_two.h"

// Queries in registers at once, and the tokens after which a softmax is brought up to date (arXiv:2205.14135):
// they begin at multiples of SEGMENT, so that a query's sums do not depend on those beside it.
enum { TOGETHER = 6, SEGMENT_BLOCKS = 4, SEGMENT = SEGMENT_BLOCKS * BLOCK_TOKENS, LANES = 16, PART = 64 };

typedef float Scores[SEGMENT];
typedef uint16_t Weights[SEGMENT];
typedef float Total[MAX_HEAD_SIZE];

typedef struct {
    const uint16_t *queries[MAX_QUERIES];
    int num_queries;
    Scores scores[MAX_QUERIES];
    Weights weights[MAX_QUERIES];
    Total totals[MAX_QUERIES];
    float most[MAX_QUERIES];
    float sums[MAX_QUERIES];
} Pass;

static int least(int one, int other) { return one < other ? one : other; }

static __m512bh repeat_pair(const uint16_t *pair) {
    int bits;
    memcpy(&bits, pair, sizeof bits);
    return (__m512bh)_mm512_set1_epi32(bits);
}

static __m512bh load_pairs(const uint16_t *pairs) { return (__m512bh)_mm512_loadu_si512(pairs); }

// num_queries is a constant to the compiler, which keeps all sums in registers so; here and below.
static inline __attribute__((always_inline)) void score(const uint16_t *const *queries, const int num_queries,
                                                        const uint16_t *keys, int head_size, float *scores) {
    __m512 sums[TOGETHER][2] = {0};
    for (int i = 0; i < head_size; i += 2) {
        __m512bh first = load_pairs(keys + i * BLOCK_TOKENS);
        __m512bh second = load_pairs(keys + i * BLOCK_TOKENS + BLOCK_TOKENS);
#pragma GCC unroll 6
        for (int query = 0; query < num_queries; query++) {
            __m512bh pair = repeat_pair(queries[query] + i);
            sums[query][0] = _mm512_dpbf16_ps(sums[query][0], first, pair);
            sums[query][1] = _mm512_dpbf16_ps(sums[query][1], second, pair);
        }
    }
    for (int query = 0; query < num_queries; query++) {
        _mm512_storeu_ps(scores + query * SEGMENT, sums[query][0]);
        _mm512_storeu_ps(scores + query * SEGMENT + LANES, sums[query][1]);
    }
}

static inline __attribute__((always_inline)) void add(const uint16_t *weights, const int num_queries,
                                                      const uint16_t *values, int head_size, float *totals) {
    __m512 sums[TOGETHER][PART / LANES];
    for (int query = 0; query < num_queries; query++)
        for (int i = 0; i < PART / LANES; i++)
            sums[query][i] = _mm512_loadu_ps(totals + query * MAX_HEAD_SIZE + i * LANES);
    for (int token = 0; token < BLOCK_TOKENS; token += 2) {
        __m512bh parts[PART / LANES];
#pragma GCC unroll 4
        for (int i = 0; i < PART / LANES; i++) parts[i] = load_pairs(values + token * head_size + i * LANES * 2);
#pragma GCC unroll 6
        for (int query = 0; query < num_queries; query++) {
            __m512bh pair = repeat_pair(weights + query * SEGMENT + token);
#pragma GCC unroll 4
            for (int i = 0; i < PART / LANES; i++)
                sums[query][i] = _mm512_dpbf16_ps(sums[query][i], parts[i], pair);
        }
    }
    for (int query = 0; query < num_queries; query++)
        for (int i = 0; i < PART / LANES; i++)
            _mm512_storeu_ps(totals + query * MAX_HEAD_SIZE + i * LANES, sums[query][i]);
}

static void score_some(const Pass *pass, int first, const uint16_t *keys, int head_size, float *scores) {
    const uint16_t *const *queries = pass->queries + first;
    switch (least(pass->num_queries - first, TOGETHER)) {
        case 1: score(queries, 1, keys, head_size, scores); break;
        case 2: score(queries, 2, keys, head_size, scores); break;
        case 3: score(queries, 3, keys, head_size, scores); break;
        case 4: score(queries, 4, keys, head_size, scores); break;
        case 5: score(queries, 5, keys, head_size, scores); break;
        default: score(queries, TOGETHER, keys, head_size, scores);
    }
}

static void add_some(Pass *pass, int first, const uint16_t *weights, const uint16_t *values, int head_size, int part) {
    float *totals = pass->totals[first] + part;
    switch (least(pass->num_queries - first, TOGETHER)) {
        case 1: add(weights, 1, values, head_size, totals); break;
        case 2: add(weights, 2, values, head_size, totals); break;
        case 3: add(weights, 3, values, head_size, totals); break;
        case 4: add(weights, 4, values, head_size, totals); break;
        case 5: add(weights, 5, values, head_size, totals); break;
        default: add(weights, TOGETHER, values, head_size, totals);
    }
}

static void score_block(Pass *pass, int block, const uint16_t *keys, int head_size) {
    for (int first = 0; first < pass->num_queries; first += TOGETHER)
        score_some(pass, first, keys, head_size, pass->scores[first] + block * BLOCK_TOKENS);
}

static void add_block(Pass *pass, int block, const uint16_t *values, int head_size) {
    for (int first = 0; first < pass->num_queries; first += TOGETHER)
        for (int part = 0; part < head_size; part += PART)
            add_some(pass, first, pass->weights[first] + block * BLOCK_TOKENS, values + part * 2, head_size, part);
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

// A query's weights of the first num_seen tokens of a segment; those of the others are 0.
static void weigh(Pass *pass, int query, int num_seen, int head_size) {
    __m512 scores[SEGMENT / LANES];
    __m512 largest = _mm512_set1_ps(pass->most[query]);
    int num_vectors = (num_seen + LANES - 1) / LANES;
    for (int i = 0; i < num_vectors; i++) {
        __mmask16 seen = (__mmask16)((1u << least(num_seen - i * LANES, LANES)) - 1);
        scores[i] = _mm512_mask_loadu_ps(_mm512_set1_ps(-INFINITY), seen, pass->scores[query] + i * LANES);
        largest = _mm512_max_ps(largest, scores[i]);
    }
    raise_most(pass, query, _mm512_reduce_max_ps(largest), head_size);
    __m512 most = _mm512_set1_ps(pass->most[query]);
    __m512 sum = _mm512_setzero_ps();
    memset(pass->weights[query], 0, sizeof pass->weights[query]);
    for (int i = 0; i < num_vectors; i++) {
        __m512 weights = power_of_two(_mm512_sub_ps(scores[i], most));
        sum = _mm512_add_ps(sum, weights);
        __m256bh rounded = _mm512_cvtneps_pbh(weights);
        memcpy(pass->weights[query] + i * LANES, &rounded, sizeof rounded);
    }
    pass->sums[query] += _mm512_reduce_add_ps(sum);
}

static void begin(Pass *pass, const Heads *heads, int kv_head, const Span *span, const uint16_t *queries) {
    int per_kv_head = heads->num_heads / heads->num_kv_heads;
    pass->num_queries = span->num_rows * per_kv_head;
    for (int query = 0; query < pass->num_queries; query++) {
        int64_t row = span->first_row + query / per_kv_head;
        int head = kv_head * per_kv_head + query % per_kv_head;
        pass->queries[query] = queries + (row * heads->num_heads + head) * heads->head_size;
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

void attend(const KvCache *cache, int layer, int kv_head, const Span *span, const uint16_t *queries,
            const RoundedRows *joined) {
    Pass pass;
    int size = cache->heads.head_size, end = span->position + span->num_rows;
    begin(&pass, &cache->heads, kv_head, span, queries);
    for (int start = 0; start < end; start += SEGMENT) {
        const int32_t *blocks = span->blocks + start / BLOCK_TOKENS;
        int num_blocks = (least(end - start, SEGMENT) + BLOCK_TOKENS - 1) / BLOCK_TOKENS;
        for (int i = 0; i < num_blocks; i++)
            score_block(&pass, i, kv_cache_keys(cache, layer, kv_head, blocks[i]), size);
        for (int query = 0; query < pass.num_queries; query++) {
            int row = query / (pass.num_queries / span->num_rows);
            weigh(&pass, query, least(span->position + row + 1 - start, SEGMENT), size);
        }
        for (int i = 0; i < num_blocks; i++)
            add_block(&pass, i, kv_cache_values(cache, layer, kv_head, blocks[i]), size);
    }
    finish(&pass, &cache->heads, kv_head, span, joined);
}
