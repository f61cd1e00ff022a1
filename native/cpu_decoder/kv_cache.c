#include "kv_cache.h"

#include <immintrin.h>
#include <string.h>

#include "rounded_rows.h"

KvBlock kv_cache_block(const KvCache *cache, int layer, int kv_head, int block) {
    int64_t index = ((int64_t)block * cache->num_layers + layer) * cache->heads.num_kv_heads + kv_head;
    int num_bytes = BLOCK_TOKENS * cache->heads.head_size;
    uint8_t *keys = cache->bytes + index * 2 * (num_bytes + BLOCK_TOKENS * (int)sizeof(float));
    float *scales = (float *)(keys + 2 * num_bytes);
    return (KvBlock){keys, (int8_t *)keys + num_bytes, scales, scales + BLOCK_TOKENS};
}

static void store_key(const KvBlock *block, int place, const int8_t *key, int head_size) {
    for (int i = 0; i < head_size; i += 4) {
        uint32_t four;
        memcpy(&four, key + i, sizeof four);
        four ^= 0x80808080;
        memcpy(block->keys + i * BLOCK_TOKENS + place * 4, &four, sizeof four);
    }
}

// Every fourth byte: those of the tokens beside this one may be written at the same time.
static void store_value(const KvBlock *block, int place, const int8_t *value, int head_size) {
    int8_t *values = block->values + place / 4 * head_size * 4;
    __mmask64 own = 0x1111111111111111u << place % 4;
    for (int i = 0; i < head_size; i += 16) {
        __m512i wide = _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(value + i)));
        _mm512_mask_storeu_epi8(values + i * 4, own, _mm512_slli_epi32(wide, 8 * (place % 4)));
    }
}

void kv_cache_store(const KvCache *cache, int layer, int kv_head, int block, int place, const float *key,
                    const float *value) {
    KvBlock target = kv_cache_block(cache, layer, kv_head, block);
    int size = cache->heads.head_size;
    int8_t rounded[MAX_HEAD_SIZE];
    int32_t sum;
    target.key_scales[place] = round_to_bytes(key, size, rounded, &sum);
    store_key(&target, place, rounded, size);
    target.value_scales[place] = round_to_bytes(value, size, rounded, &sum);
    store_value(&target, place, rounded, size);
}
