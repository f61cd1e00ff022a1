// The engine's gauges on Triton's metrics port.
#pragma once

#include "frame.h"
#include "triton.h"

typedef struct {
    TRITONSERVER_MetricFamily **families;
    TRITONSERVER_Metric **metrics;
    uint32_t num_families;
    uint32_t num_metrics;
} Gauges;

// The rest of a FRAME_FAMILY, FRAME_METRIC or FRAME_GAUGE; false if it is not one.
bool gauge_open_family(Gauges *gauges, FrameReader *frame);
bool gauge_open(Gauges *gauges, FrameReader *frame);
bool gauge_set(Gauges *gauges, FrameReader *frame);
void gauge_free_all(Gauges *gauges);
