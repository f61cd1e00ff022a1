// Memory that grows, on the borders that vector loads want.
#pragma once

#include <stdbool.h>
#include <stdlib.h>

// What was in it is lost. False, and nothing has changed, when memory is lacking.
static inline bool resize(void **array, size_t num_bytes) {
    void *larger = aligned_alloc(64, (num_bytes + 63) / 64 * 64);
    if (larger == NULL) return false;
    free(*array);
    *array = larger;
    return true;
}
