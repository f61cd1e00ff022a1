#include "kv_cache.h"

#include <immintrin.h>
#include <string.h>

static uint16_t *keys_of(const KvCache *cache, int layer, int kv_head, int block) {
    int64_t index = ((int64_t)block * cache->num_layers + layer) * cache->heads.num_kv_heads + kv_head;
    return cache->numbers + index * 2 * BLOCK_TOKENS * cache->heads.head_size;
}

static uint16_t *values_of(const KvCache *cache, int layer, int kv_head, int block) {
    return keys_of(cache, layer, kv_head, block) + BLOCK_TOKENS * cache->heads.head_size;
}

const uint16_t *kv_cache_keys(const KvCache *cache, int layer, int kv_head, int block) {
    return keys_of(cache, layer, kv_head, block);
}

const uint16_t *kv_cache_values(const KvCache *cache, int layer, int kv_head, int block) {
    return values_of(cache, layer, kv_head, block);
}

void to_brain_floats(const float *values, uint16_t *rounded, int count) {
    for (int i = 0; i < count; i += 16) {
        __m256bh part = _mm512_cvtneps_pbh(_mm512_loadu_ps(values + i));
        memcpy(rounded + i, &part, sizeof part);
    }
}

void kv_cache_store_key(const KvCache *cache, int layer, int kv_head, int block, int place, const float *key) {
    uint16_t rounded[MAX_HEAD_SIZE];
    to_brain_floats(key, rounded, cache->heads.head_size);
    uint16_t *keys = keys_of(cache, layer, kv_head, block) + place * 2;
    for (int i = 0; i < cache->heads.head_size; i += 2) memcpy(keys + i * BLOCK_TOKENS, rounded + i, 4);
}

// Each number is every other of 32: those of the token beside this one may be written at the same time.
void kv_cache_store_value(const KvCache *cache, int layer, int kv_head, int block, int place, const float *value) {
    int size = cache->heads.head_size;
    uint16_t *values = values_of(cache, layer, kv_head, block) + place / 2 * size * 2;
    __mmask32 own = place % 2 == 0 ? 0x55555555 : 0xaaaaaaaa;
    for (int i = 0; i < size; i += 16) {
        __m512i wide = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(value + i)));
        _mm512_mask_storeu_epi16(values + i * 2, own, _mm512_or_si512(wide, _mm512_slli_epi32(wide, 16)));
    }
}
