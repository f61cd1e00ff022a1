#include "ranking.h"

#include <math.h>

#include "vectors.h"

// Logits that are passed over together where their largest is not among the ranked.
enum { STRETCH = 64 };

// Powers of two below are 0.
#define LEAST_EXPONENT (-200.0f)

typedef struct {
    int32_t *ids;
    float *logits;
    int count;
    int capacity;
} Ranked;

// Of equal ones the first stays ahead.
static void insert(Ranked *ranked, int32_t id, float logit) {
    if (ranked->count == ranked->capacity) {
        if (!(logit > ranked->logits[ranked->count - 1])) return;
        ranked->count--;
    }
    int place = ranked->count++;
    for (; place > 0 && logit > ranked->logits[place - 1]; place--) {
        ranked->logits[place] = ranked->logits[place - 1];
        ranked->ids[place] = ranked->ids[place - 1];
    }
    ranked->logits[place] = logit;
    ranked->ids[place] = id;
}

static float largest_of_stretch(const float *logits) {
    Floats largest = load_floats(logits);
    for (int i = LANES; i < STRETCH; i += LANES) largest = larger(largest, load_floats(logits + i));
    return largest_lane(largest);
}

static void rank_row(const float *logits, int num_logits, Ranked *ranked) {
    for (int begin = 0; begin < num_logits; begin += STRETCH) {
        int count = num_logits - begin < STRETCH ? num_logits - begin : STRETCH;
        if (count == STRETCH && ranked->count == ranked->capacity &&
            largest_of_stretch(logits + begin) <= ranked->logits[ranked->count - 1])
            continue;
        for (int i = 0; i < count; i++) insert(ranked, begin + i, logits[begin + i]);
    }
}

static Floats powers(Floats logits, float largest, float scale) {
    Floats exponents = (logits - all_floats(largest)) * all_floats(scale);
    return power_of_two(larger(exponents, all_floats(LEAST_EXPONENT)));
}

static float log_sum(const float *logits, int num_logits, float largest, float temperature) {
    float scale = LOG2_E / temperature;
    Floats sum = all_floats(0);
    int whole = num_logits / LANES * LANES;
    for (int i = 0; i < whole; i += LANES) sum = sum + powers(load_floats(logits + i), largest, scale);
    float total = sum_of_lanes(sum);
    for (int i = whole; i < num_logits; i++) total += exp2f(fmaxf((logits[i] - largest) * scale, LEAST_EXPONENT));
    return logf(total);
}

void rank_logits(const float *logits, int64_t stride, int num_rows, int num_logits, const float *temperatures,
                 int num_ranked, int32_t *ids, float *ranked, float *log_sums) {
    for (int row = 0; row < num_rows; row++, logits += stride, ids += num_ranked, ranked += num_ranked) {
        rank_row(logits, num_logits, &(Ranked){ids, ranked, 0, num_ranked});
        log_sums[row] = log_sum(logits, num_logits, ranked[0], temperatures[row]);
    }
}
