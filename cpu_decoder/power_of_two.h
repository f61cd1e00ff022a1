// Powers of two of 16 numbers, by which exponentials are computed.
#pragma once

#include <immintrin.h>

#define LOG2_E 1.442695041f

// A polynomial in what is left of the nearest whole number, -0.5 to 0.5: 2e-7 of the power off at most.
static inline __m512 power_of_two(__m512 exponent) {
    const float factors[] = {1.3333558e-3f, 9.6181291e-3f, 5.5504109e-2f, 2.4022651e-1f, 6.9314718e-1f, 1};
    __m512 whole = _mm512_roundscale_ps(exponent, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 rest = _mm512_sub_ps(exponent, whole);
    __m512 power = _mm512_set1_ps(1.5403530e-4f);
#pragma GCC unroll 6
    for (int i = 0; i < 6; i++) power = _mm512_fmadd_ps(power, rest, _mm512_set1_ps(factors[i]));
    return _mm512_scalef_ps(power, whole);
}
