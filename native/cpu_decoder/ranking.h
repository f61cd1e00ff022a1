// The largest logits of a row and the sum of their exponentials, of which sampling and log-probs are made.
#pragma once

#include <stdint.h>

#define EXPORTED __attribute__((visibility("default")))

// Writes num_ranked ids and logits a row, the largest first, and log(sum(exp((logit - largest) / temperature))).
// Rows are `stride` apart and have num_ranked logits or more.
EXPORTED void rank_logits(const float *logits, int64_t stride, int num_rows, int num_logits,
                          const float *temperatures, int num_ranked, int32_t *ids, float *ranked, float *log_sums);
