#include "attention.h"

#include <math.h>

// The tokens after which a softmax is brought up to date (arXiv:2205.14135); they begin at multiples of SEGMENT,
// so that a query's sums do not depend on those beside it.
enum { SEGMENT_BLOCKS = 4, SEGMENT = SEGMENT_BLOCKS * BLOCK_TOKENS };

// Queries whose sums are in registers at once, over SCORED_VECTORS of tokens and over PART of a head.
enum { SCORED = TILE_ROWS, SCORED_VECTORS = 2, ADDED = 3, PART = TILE_VECTORS * LANES };

// What the largest share of a segment is rounded to.
enum { WHOLE_SHARE = 32767 };

// Far below any score; with infinity there would be differences that are no numbers.
#define UNSEEN (-1e30f)

// A block of a layer and head, in the order in which it lies there. Each token has its own scales, so that what
// is rounded once stays as it is.
typedef struct {
    uint8_t *keys;   // with 128 added, [head_size / 4][BLOCK_TOKENS][4]
    int8_t *values;  // [BLOCK_TOKENS / 4][head_size][4]
    float *key_scales;
    float *value_scales;
} KvBlock;

typedef struct {
    const Rounded *queries[MAX_QUERIES];
    float query_scales[MAX_QUERIES];
    int32_t query_offsets[MAX_QUERIES];
    int num_queries;
    // Of a segment; those that a text does not have are its last one again, of which nothing is seen.
    KvBlock blocks[SEGMENT_BLOCKS];
    int num_blocks;
    float scores[MAX_QUERIES][SEGMENT];
    // Of each token, in units of the largest of the segment / WHOLE_SHARE.
    int16_t shares[MAX_QUERIES][SEGMENT];
    float units[MAX_QUERIES];
    float totals[MAX_QUERIES][MAX_HEAD_SIZE];
    float most[MAX_QUERIES];
    float sums[MAX_QUERIES];
} Pass;

static int least(int one, int other) { return one < other ? one : other; }

static KvBlock kv_block(const KvCache *cache, int layer, int kv_head, int block) {
    int64_t index = ((int64_t)block * cache->num_layers + layer) * cache->heads.num_kv_heads + kv_head;
    int num_bytes = BLOCK_TOKENS * cache->heads.head_size;
    uint8_t *keys = cache->bytes + index * 2 * (num_bytes + BLOCK_TOKENS * (int)sizeof(float));
    float *scales = (float *)(keys + 2 * num_bytes);
    return (KvBlock){keys, (int8_t *)keys + num_bytes, scales, scales + BLOCK_TOKENS};
}

void kv_cache_store(const KvCache *cache, int layer, int kv_head, int block, int place, const float *key,
                    const float *value) {
    KvBlock target = kv_block(cache, layer, kv_head, block);
    int size = cache->heads.head_size;
    Rounded whole[MAX_HEAD_SIZE];
    int32_t sum;
    target.key_scales[place] = round_values(key, size, whole, &sum);
    for (int i = 0; i < size; i += FOUR) {
        uint32_t four = bytes_of_four(whole + i) ^ 0x80808080;
        memcpy(target.keys + i * BLOCK_TOKENS + place * FOUR, &four, sizeof four);
    }
    target.value_scales[place] = round_values(value, size, whole, &sum);
    // Every fourth byte: those of the tokens beside this one may be written at the same time.
    int8_t *values = target.values + place / FOUR * size * FOUR + place % FOUR;
    for (int i = 0; i < size; i += FOUR) {
        uint32_t four = bytes_of_four(whole + i);
        for (int j = 0; j < FOUR; j++) values[(i + j) * FOUR] = (int8_t)(four >> 8 * j);
    }
}

static void write_scores(Pass *pass, int query, int place, Ints sums, const float *key_scales) {
    Floats scale = all_floats(pass->query_scales[query]) * load_floats(key_scales);
    store_floats(pass->scores[query] + place, as_floats(sums) * scale);
}

// num_queries is a constant to the compiler, which keeps all sums in registers so; here and below.
static inline __attribute__((always_inline)) void score(Pass *pass, int first_query, const int num_queries,
                                                        int token, int head_size) {
    const KvBlock *block = &pass->blocks[token / BLOCK_TOKENS];
    int place = token % BLOCK_TOKENS;
    Ints sums[SCORED][SCORED_VECTORS];
    for (int i = 0; i < num_queries; i++)
        sums[i][0] = sums[i][1] = all_ints(pass->query_offsets[first_query + i]);
    for (int dimension = 0; dimension < head_size; dimension += FOUR) {
        const uint8_t *keys = block->keys + dimension * BLOCK_TOKENS + place * FOUR;
        Columns first = load_unsigned(keys), second = load_unsigned(keys + LANES * FOUR);
#pragma GCC unroll 6
        for (int i = 0; i < num_queries; i++) {
            Four query = repeat_four(pass->queries[first_query + i] + dimension);
            sums[i][0] = multiply_four(sums[i][0], first, query);
            sums[i][1] = multiply_four(sums[i][1], second, query);
        }
    }
    for (int i = 0; i < num_queries; i++)
        for (int j = 0; j < SCORED_VECTORS; j++)
            write_scores(pass, first_query + i, token + j * LANES, sums[i][j],
                         block->key_scales + place + j * LANES);
}

static inline __attribute__((always_inline)) void add(Pass *pass, int first_query, const int num_queries,
                                                      int head_size, int part) {
    ShareSums sums[ADDED][TILE_VECTORS];
    for (int i = 0; i < num_queries; i++)
        for (int j = 0; j < TILE_VECTORS; j++) sums[i][j] = no_share_sums();
    for (int token = 0; token < pass->num_blocks * BLOCK_TOKENS; token += FOUR) {
        const int8_t *values =
            pass->blocks[token / BLOCK_TOKENS].values + (token % BLOCK_TOKENS) * head_size + part * FOUR;
        Columns columns[TILE_VECTORS];
#pragma GCC unroll 4
        for (int j = 0; j < TILE_VECTORS; j++) columns[j] = load_signed(values + j * LANES * FOUR);
#pragma GCC unroll 3
        for (int i = 0; i < num_queries; i++) {
            Shares shares = repeat_shares(pass->shares[first_query + i] + token);
#pragma GCC unroll 4
            for (int j = 0; j < TILE_VECTORS; j++) sums[i][j] = multiply_shares(sums[i][j], shares, columns[j]);
        }
    }
    for (int i = 0; i < num_queries; i++)
        for (int j = 0; j < TILE_VECTORS; j++) {
            // Less than 2^31: WHOLE_SHARE times 127 times SEGMENT.
            Floats sum = as_floats(whole_sums(sums[i][j])), unit = all_floats(pass->units[first_query + i]);
            float *total = pass->totals[first_query + i] + part + j * LANES;
            store_floats(total, multiply_add(sum, unit, load_floats(total)));
        }
}

static void score_tokens(Pass *pass, int token, int head_size) {
    for (int first = 0; first < pass->num_queries; first += SCORED) {
        switch (least(pass->num_queries - first, SCORED)) {
            case 1: score(pass, first, 1, token, head_size); break;
            case 2: score(pass, first, 2, token, head_size); break;
            case 3: score(pass, first, 3, token, head_size); break;
#if TILE_ROWS > 4
            case 4: score(pass, first, 4, token, head_size); break;
            case 5: score(pass, first, 5, token, head_size); break;
#endif
            default: score(pass, first, SCORED, token, head_size);
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

typedef Floats Vectors[SEGMENT / LANES];

static float load_scores(const Pass *pass, int query, int num_seen, Vectors scores) {
    Floats unseen = all_floats(UNSEEN), largest = unseen;
    for (int i = 0; i < SEGMENT / LANES; i++) {
        scores[i] = first_lanes(load_floats(pass->scores[query] + i * LANES), num_seen - i * LANES, unseen);
        largest = larger(largest, scores[i]);
    }
    return largest_lane(largest);
}

// In place of the scores; returns the weights' sum, and in `most` the largest of what the values are multiplied with.
static float weigh(const Pass *pass, int query, Vectors scores, float *most) {
    Floats above = all_floats(pass->most[query]), sum = all_floats(0), largest = all_floats(0);
    for (int i = 0; i < SEGMENT / LANES; i++) {
        const float *value_scales = pass->blocks[i * LANES / BLOCK_TOKENS].value_scales + i * LANES % BLOCK_TOKENS;
        Floats weights = power_of_two(scores[i] - above);
        sum = sum + weights;
        scores[i] = weights * load_floats(value_scales);
        largest = larger(largest, scores[i]);
    }
    *most = largest_lane(largest);
    return sum_of_lanes(sum);
}

// A query's shares of the first num_seen tokens of a segment; those of the others are 0.
static void weigh_segment(Pass *pass, int query, int num_seen, int head_size) {
    Vectors weights;
    float most;
    raise_most(pass, query, load_scores(pass, query, num_seen, weights), head_size);
    pass->sums[query] += weigh(pass, query, weights, &most);
    pass->units[query] = most / WHOLE_SHARE;
    Floats inverse = all_floats(most > 0 ? WHOLE_SHARE / most : 0);
    for (int i = 0; i < SEGMENT / LANES; i++)
        store_shares(pass->shares[query] + i * LANES, rounded(weights[i] * inverse));
}

static void begin(Pass *pass, const Heads *heads, int kv_head, const Span *span, const Queries *queries) {
    int per_kv_head = heads->num_heads / heads->num_kv_heads;
    pass->num_queries = span->num_rows * per_kv_head;
    for (int query = 0; query < pass->num_queries; query++) {
        int64_t row = span->first_row + query / per_kv_head;
        int64_t head = row * heads->num_heads + kv_head * per_kv_head + query % per_kv_head;
        pass->queries[query] = queries->values + head * heads->head_size;
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
            pass.blocks[i] = kv_block(cache, layer, kv_head, block);
        }
        for (int token = 0; token < pass.num_blocks * BLOCK_TOKENS; token += SCORED_VECTORS * LANES)
            score_tokens(&pass, token, size);
        for (int query = 0; query < pass.num_queries; query++) {
            int row = query / (pass.num_queries / span->num_rows);
            weigh_segment(&pass, query, span->position + row + 1 - start, size);
        }
        for (int part = 0; part < size; part += PART) add_part(&pass, size, part);
    }
    finish(&pass, &cache->heads, kv_head, span, joined);
}
