// Powers of two of 16 numbers, by which exponentials are computed.
#pragma once

#include <immintrin.h>

#define LOG2_E 1.442695041f

// A polynomial in what is left of the nearest whole number, -0.5 to 0.5: 2.1e-7 of the power off at most.
static inline __m512 power_of_two(__m512 exponent) {
    const float factors[] = {9.66637e-3f, 5.550357e-2f, 2.4022349e-1f, 6.9314719e-1f, 1};
    __m512 whole = _mm512_roundscale_ps(exponent, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 rest = _mm512_sub_ps(exponent, whole);
    __m512 power = _mm512_set1_ps(1.33909e-3f);
#pragma GCC unroll 5
    for (int i = 0; i < 5; i++) power = _mm512_fmadd_ps(power, rest, _mm512_set1_ps(factors[i]));
    return _mm512_scalef_ps(power, whole);
}
