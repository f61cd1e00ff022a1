// The operations on vectors that the kernels are made of, in the instructions that a library is compiled for:
// AVX-512 with VNNI, AVX2 with VNNI, or AVX2 alone. Nothing else differs between them.
//
// Products of bytes go by fours: an instruction of VNNI's adds four products to each 32-bit sum. AVX2 alone has none
// that neither saturates nor wants 16 bits, so there the even and the odd two of a four are multiplied in 16 bits.
#pragma once

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define LOG2_E 1.442695041f

enum { FOUR = 4 };

#ifdef __AVX512VNNI__

typedef __m512 Floats;
typedef __m512i Ints;

// Columns of a vector; rows and vectors whose sums are in registers at once: 24 of 32.
#define LANES 16
#define TILE_ROWS 6
#define TILE_VECTORS 4

static inline Floats load_floats(const float *from) { return _mm512_loadu_ps(from); }
static inline void store_floats(float *to, Floats values) { _mm512_storeu_ps(to, values); }
static inline Floats all_floats(float value) { return _mm512_set1_ps(value); }
// one * other + third, rounded once.
static inline Floats multiply_add(Floats one, Floats other, Floats third) {
    return _mm512_fmadd_ps(one, other, third);
}
static inline Floats larger(Floats one, Floats other) { return _mm512_max_ps(one, other); }
static inline Floats absolute(Floats values) { return _mm512_abs_ps(values); }
static inline float largest_lane(Floats values) { return _mm512_reduce_max_ps(values); }
static inline float sum_of_lanes(Floats values) { return _mm512_reduce_add_ps(values); }
static inline Floats nearest_whole(Floats values) {
    return _mm512_roundscale_ps(values, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
static inline Floats times_power(Floats values, Floats whole) { return _mm512_scalef_ps(values, whole); }
// The first lanes of the values, and of the others those behind them.
static inline Floats first_lanes(Floats values, int count, Floats others) {
    __m512i numbers = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return _mm512_mask_mov_ps(others, _mm512_cmplt_epi32_mask(numbers, _mm512_set1_epi32(count)), values);
}

static inline Ints load_ints(const void *from) { return _mm512_loadu_si512(from); }
static inline Ints all_ints(int32_t value) { return _mm512_set1_epi32(value); }
static inline Ints add_ints(Ints one, Ints other) { return _mm512_add_epi32(one, other); }
static inline int32_t sum_of_int_lanes(Ints values) { return _mm512_reduce_add_epi32(values); }
static inline Ints rounded(Floats values) { return _mm512_cvtps_epi32(values); }
static inline Floats as_floats(Ints values) { return _mm512_cvtepi32_ps(values); }
static inline Ints times_256(Ints values) { return _mm512_slli_epi32(values, 8); }
static inline Ints add_products(Ints sums, Ints unsigned_fours, Ints fours) {
    return _mm512_dpbusd_epi32(sums, unsigned_fours, fours);
}
static inline void store_low_bytes(int8_t *to, Ints values) {
    _mm_storeu_si128((__m128i *)to, _mm512_cvtepi32_epi8(values));
}
// The lower 16 bits of the lanes, each four of them in the order that eight of its bytes have here.
static inline void store_low_halves(int16_t *to, Ints values, __m128i order) {
    __m256i halves = _mm512_cvtepi32_epi16(values);
    _mm256_storeu_si256((__m256i *)to, _mm256_shuffle_epi8(halves, _mm256_broadcastsi128_si256(order)));
}

#else

typedef __m256 Floats;
typedef __m256i Ints;

#define LANES 8
#define TILE_ROWS 4
#define TILE_VECTORS 2

static inline Floats load_floats(const float *from) { return _mm256_loadu_ps(from); }
static inline void store_floats(float *to, Floats values) { _mm256_storeu_ps(to, values); }
static inline Floats all_floats(float value) { return _mm256_set1_ps(value); }
static inline Floats multiply_add(Floats one, Floats other, Floats third) {
    return _mm256_fmadd_ps(one, other, third);
}
static inline Floats larger(Floats one, Floats other) { return _mm256_max_ps(one, other); }
static inline Floats absolute(Floats values) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), values); }
static inline float largest_lane(Floats values) {
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(values), _mm256_extractf128_ps(values, 1));
    __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}
static inline float sum_of_lanes(Floats values) {
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(values), _mm256_extractf128_ps(values, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
static inline Floats nearest_whole(Floats values) {
    return _mm256_round_ps(values, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
// By the bits of a float's exponent, of which -127 makes 0.
static inline Floats times_power(Floats values, Floats whole) {
    __m256 within = _mm256_min_ps(_mm256_max_ps(whole, _mm256_set1_ps(-127)), _mm256_set1_ps(127));
    __m256i exponents = _mm256_add_epi32(_mm256_cvtps_epi32(within), _mm256_set1_epi32(127));
    return _mm256_mul_ps(values, _mm256_castsi256_ps(_mm256_slli_epi32(exponents, 23)));
}
static inline Floats first_lanes(Floats values, int count, Floats others) {
    __m256i numbers = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    __m256i is_first = _mm256_cmpgt_epi32(_mm256_set1_epi32(count), numbers);
    return _mm256_blendv_ps(others, values, _mm256_castsi256_ps(is_first));
}

static inline Ints load_ints(const void *from) { return _mm256_loadu_si256(from); }
static inline Ints all_ints(int32_t value) { return _mm256_set1_epi32(value); }
static inline Ints add_ints(Ints one, Ints other) { return _mm256_add_epi32(one, other); }
static inline int32_t sum_of_int_lanes(Ints values) {
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(values), _mm256_extracti128_si256(values, 1));
    __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xb1)));
}
static inline Ints rounded(Floats values) { return _mm256_cvtps_epi32(values); }
static inline Floats as_floats(Ints values) { return _mm256_cvtepi32_ps(values); }
static inline __m128i low_halves(Ints values) {
    __m256i signed_halves = _mm256_packs_epi32(values, values);
    return _mm256_castsi256_si128(_mm256_permute4x64_epi64(signed_halves, 0x08));
}
static inline void store_low_bytes(int8_t *to, Ints values) {
    __m128i halves = low_halves(values);
    _mm_storel_epi64((__m128i *)to, _mm_packs_epi16(halves, halves));
}
static inline void store_low_halves(int16_t *to, Ints values, __m128i order) {
    _mm_storeu_si128((__m128i *)to, _mm_shuffle_epi8(low_halves(values), order));
}

#endif

static inline Ints repeat_32_bits(const void *from) {
    int32_t bits;
    memcpy(&bits, from, sizeof bits);
    return all_ints(bits);
}

#if defined __AVX512VNNI__ || defined __AVXVNNI__

#ifndef __AVX512VNNI__
static inline Ints times_256(Ints values) { return _mm256_slli_epi32(values, 8); }
static inline Ints add_products(Ints sums, Ints unsigned_fours, Ints fours) {
    return _mm256_dpbusd_avx_epi32(sums, unsigned_fours, fours);
}
#endif

// A number of -127 to 127 as rows of them are multiplied.
typedef int8_t Rounded;
// Four inputs of each of LANES columns, and four numbers of a row, repeated.
typedef Ints Columns;
typedef Ints Four;

static inline void store_rounded(Rounded *to, Ints values) { store_low_bytes(to, values); }
static inline Columns load_unsigned(const uint8_t *from) { return load_ints(from); }
static inline Columns load_signed(const int8_t *from) { return load_ints(from); }
static inline Four repeat_four(const Rounded *from) { return repeat_32_bits(from); }
static inline Ints multiply_four(Ints sums, Columns columns, Four four) {
    return add_products(sums, columns, four);
}
static inline uint32_t bytes_of_four(const Rounded *from) {
    uint32_t bytes;
    memcpy(&bytes, from, sizeof bytes);
    return bytes;
}

// Four shares, 0 to 32767, repeated: their lower and their upper bytes, and what is summed of each.
typedef struct {
    Ints lower, upper;
} Shares, ShareSums;

static inline void store_shares(int16_t *to, Ints values) {
    store_low_halves(to, values, _mm_setr_epi8(0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15));
}
static inline Shares repeat_shares(const int16_t *from) {
    return (Shares){repeat_32_bits(from), repeat_32_bits(from + 2)};
}
static inline ShareSums no_share_sums(void) { return (ShareSums){all_ints(0), all_ints(0)}; }
static inline ShareSums multiply_shares(ShareSums sums, Shares shares, Columns signed_columns) {
    return (ShareSums){add_products(sums.lower, shares.lower, signed_columns),
                       add_products(sums.upper, shares.upper, signed_columns)};
}
static inline Ints whole_sums(ShareSums sums) { return add_ints(times_256(sums.upper), sums.lower); }

#else

// In 16 bits, the even two of a four before the odd two.
typedef int16_t Rounded;
typedef struct {
    Ints even, odd;
} Columns, Four;
typedef Four Shares;
typedef Ints ShareSums;

static inline void store_shares(int16_t *to, Ints values) {
    store_low_halves(to, values, _mm_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15));
}
static inline void store_rounded(Rounded *to, Ints values) { store_shares(to, values); }
static inline Columns load_unsigned(const uint8_t *from) {
    Ints fours = load_ints(from);
    return (Columns){_mm256_and_si256(fours, _mm256_set1_epi16(0xff)), _mm256_srli_epi16(fours, 8)};
}
static inline Columns load_signed(const int8_t *from) {
    Ints fours = load_ints(from);
    return (Columns){_mm256_srai_epi16(_mm256_slli_epi16(fours, 8), 8), _mm256_srai_epi16(fours, 8)};
}
static inline Four repeat_four(const Rounded *from) {
    return (Four){repeat_32_bits(from), repeat_32_bits(from + 2)};
}
static inline Ints multiply_four(Ints sums, Columns columns, Four four) {
    Ints even = _mm256_madd_epi16(columns.even, four.even), odd = _mm256_madd_epi16(columns.odd, four.odd);
    return add_ints(add_ints(sums, even), odd);
}
static inline uint32_t bytes_of_four(const Rounded *from) {
    return (uint8_t)from[0] | (uint32_t)(uint8_t)from[2] << 8 | (uint32_t)(uint8_t)from[1] << 16 |
           (uint32_t)(uint8_t)from[3] << 24;
}
static inline Shares repeat_shares(const int16_t *from) { return repeat_four(from); }
static inline ShareSums no_share_sums(void) { return all_ints(0); }
static inline ShareSums multiply_shares(ShareSums sums, Shares shares, Columns signed_columns) {
    return multiply_four(sums, signed_columns, shares);
}
static inline Ints whole_sums(ShareSums sums) { return sums; }

#endif

// 2 to the power of each, by a polynomial in what is left of the nearest whole number, -0.5 to 0.5: 2.1e-7 of it off at most.
static inline Floats power_of_two(Floats exponents) {
    const float factors[] = {9.66637e-3f, 5.550357e-2f, 2.4022349e-1f, 6.9314719e-1f, 1};
    Floats whole = nearest_whole(exponents);
    Floats rest = exponents - whole;
    Floats powers = all_floats(1.33909e-3f);
#pragma GCC unroll 5
    for (int i = 0; i < 5; i++) powers = multiply_add(powers, rest, all_floats(factors[i]));
    return times_power(powers, whole);
}
