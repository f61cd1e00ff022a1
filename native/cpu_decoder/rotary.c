#include "rotary.h"

#include <math.h>

void find_angles(int position, const float *frequencies, int count, float *cosines, float *sines) {
    for (int i = 0; i < count; i++) {
        float angle = (float)position * frequencies[i];
        cosines[i] = cosf(angle);
        sines[i] = sinf(angle);
    }
}

void rotate(float *head, const float *restrict cosines, const float *restrict sines, int half, float scale) {
    float *restrict first = head, *restrict second = head + half;
    for (int i = 0; i < half; i++) {
        float before = first[i];
        first[i] = (before * cosines[i] - second[i] * sines[i]) * scale;
        second[i] = (second[i] * cosines[i] + before * sines[i]) * scale;
    }
}
