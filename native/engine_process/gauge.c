#include "gauge.h"

#include <stdlib.h>

enum { MAX_LABELS = 8 };

// FRAME_FAMILY: name, text. What Triton does not take, for which there is a line in its log, is counted all the same:
// families and gauges are known by their order.
bool gauge_open_family(Gauges *gauges, FrameReader *frame) {
    const char *name = frame_text(frame);
    const char *text = frame_text(frame);
    if (frame->is_broken) return false;
    TRITONSERVER_MetricFamily *family = NULL;
    succeeded(TRITONSERVER_MetricFamilyNew(&family, TRITONSERVER_METRIC_KIND_GAUGE, name, text));
    gauges->families = realloc(gauges->families, (gauges->num_families + 1) * sizeof family);
    gauges->families[gauges->num_families++] = family;
    return true;
}

static void open_metric(
    Gauges *gauges, TRITONSERVER_MetricFamily *family, TRITONSERVER_Parameter **labels, uint8_t count) {
    TRITONSERVER_Metric *metric = NULL;
    if (family != NULL)
        succeeded(TRITONSERVER_MetricNew(&metric, family, (const TRITONSERVER_Parameter **)labels, count));
    gauges->metrics = realloc(gauges->metrics, (gauges->num_metrics + 1) * sizeof metric);
    gauges->metrics[gauges->num_metrics++] = metric;
}

// FRAME_METRIC: the family's number, number of labels, each one's name and value.
bool gauge_open(Gauges *gauges, FrameReader *frame) {
    uint32_t family = frame_u32(frame);
    uint8_t count = frame_u8(frame);
    if (family >= gauges->num_families || count > MAX_LABELS) return false;
    TRITONSERVER_Parameter *labels[MAX_LABELS];
    for (uint8_t i = 0; i < count; i++) {
        const char *name = frame_text(frame);
        labels[i] = TRITONSERVER_ParameterNew(name, TRITONSERVER_PARAMETER_STRING, frame_text(frame));
    }
    if (!frame->is_broken) open_metric(gauges, gauges->families[family], labels, count);
    for (uint8_t i = 0; i < count; i++) TRITONSERVER_ParameterDelete(labels[i]);
    return !frame->is_broken;
}

// FRAME_GAUGE: the gauge's number, its value.
bool gauge_set(Gauges *gauges, FrameReader *frame) {
    uint32_t metric = frame_u32(frame);
    double value = frame_double(frame);
    if (frame->is_broken || metric >= gauges->num_metrics) return false;
    if (gauges->metrics[metric] != NULL) succeeded(TRITONSERVER_MetricSet(gauges->metrics[metric], value));
    return true;
}

void gauge_free_all(Gauges *gauges) {
    // A family must outlive its gauges.
    for (uint32_t i = 0; i < gauges->num_metrics; i++)
        if (gauges->metrics[i] != NULL) succeeded(TRITONSERVER_MetricDelete(gauges->metrics[i]));
    for (uint32_t i = 0; i < gauges->num_families; i++)
        if (gauges->families[i] != NULL) succeeded(TRITONSERVER_MetricFamilyDelete(gauges->families[i]));
    free(gauges->metrics);
    free(gauges->families);
}
