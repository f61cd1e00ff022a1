#include "statistics.h"

#include <time.h>

#include "triton_error.h"

enum { SECOND_NS = 1000000000 };

uint64_t nanoseconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

void count_and_release(
    TRITONBACKEND_ModelInstance *instance, TRITONBACKEND_Request **requests, uint32_t count, uint64_t start_ns) {
    uint64_t end_ns = nanoseconds_now();
    for (uint32_t i = 0; i < count; i++) {
        succeeded(TRITONBACKEND_ModelInstanceReportStatistics(
            instance, requests[i], true, start_ns, start_ns, end_ns, end_ns));
        succeeded(TRITONBACKEND_RequestRelease(requests[i], TRITONSERVER_REQUEST_RELEASE_ALL));
    }
    succeeded(TRITONBACKEND_ModelInstanceReportBatchStatistics(instance, count, start_ns, start_ns, end_ns, end_ns));
}
