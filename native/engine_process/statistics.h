// What Triton counts of a model, on its metrics port and for perf_analyzer.
#pragma once

#include "triton_backend.h"

uint64_t nanoseconds_now(void);
// Counts requests that were taken since then, and releases them: the time is that of taking them.
void count_and_release(
    TRITONBACKEND_ModelInstance *instance, TRITONBACKEND_Request **requests, uint32_t count, uint64_t start_ns);
