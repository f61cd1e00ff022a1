// Triton loads this: it runs a model.py that was written for Triton's Python backend, as a process of its own too.
// There a response goes through four threads that wake each other; here it goes through one socket, together with
// all others that are there, and one thread passes it on.
#include <limits.h>
#include <stdio.h>

#include "engine.h"

// Where this library and the Python files beside it lie.
static TRITONSERVER_Error *find_script(TRITONBACKEND_Model *model, char *path) {
    TRITONBACKEND_Backend *backend;
    TRITONBACKEND_ArtifactType type;
    const char *folder;
    TRITONSERVER_Error *error = TRITONBACKEND_ModelBackend(model, &backend);
    if (error == NULL) error = TRITONBACKEND_BackendArtifacts(backend, &type, &folder);
    if (error == NULL) snprintf(path, PATH_MAX, "%s/engine_host.py", folder);
    return error;
}

// FRAME_START: the configuration as JSON, the model's folder, name and version.
static TRITONSERVER_Error *write_model(TRITONBACKEND_Model *model, FrameWriter *frame) {
    TRITONSERVER_Message *config;
    TRITONBACKEND_ArtifactType type;
    const char *folder, *name, *base;
    uint64_t version;
    size_t size;
    TRITONSERVER_Error *error = TRITONBACKEND_ModelRepository(model, &type, &folder);
    if (error == NULL) error = TRITONBACKEND_ModelName(model, &name);
    if (error == NULL) error = TRITONBACKEND_ModelVersion(model, &version);
    if (error == NULL) error = TRITONBACKEND_ModelConfig(model, 1, &config);
    if (error != NULL) return error;
    error = TRITONSERVER_MessageSerializeToJson(config, &base, &size);
    if (error == NULL) {
        frame_put_u32(frame, (uint32_t)size);
        frame_put(frame, base, size);
        frame_put_text(frame, folder);
        frame_put_text(frame, name);
        frame_put_u64(frame, version);
    }
    succeeded(TRITONSERVER_MessageDelete(config));
    return error;
}

EXPORTED TRITONSERVER_Error *TRITONBACKEND_ModelInitialize(TRITONBACKEND_Model *model) {
    char script[PATH_MAX], reason[512];
    const char *name;
    TRITONSERVER_Error *error = find_script(model, script);
    if (error == NULL) error = TRITONBACKEND_ModelName(model, &name);
    if (error != NULL) return error;
    FrameWriter frame = frame_begin(FRAME_START);
    error = write_model(model, &frame);
    Engine *engine = error == NULL ? engine_start(script, name, &frame, reason, sizeof reason) : NULL;
    frame_free(&frame);
    if (error != NULL) return error;
    if (engine == NULL) return TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_INTERNAL, reason);
    return TRITONBACKEND_ModelSetState(model, engine);
}

EXPORTED TRITONSERVER_Error *TRITONBACKEND_ModelFinalize(TRITONBACKEND_Model *model) {
    Engine *engine = triton_state(model);
    if (engine != NULL) engine_close(engine);
    return NULL;
}

EXPORTED TRITONSERVER_Error *TRITONBACKEND_ModelInstanceExecute(
    TRITONBACKEND_ModelInstance *instance, TRITONBACKEND_Request **requests, uint32_t count) {
    TRITONBACKEND_Model *model;
    TRITONSERVER_Error *error = TRITONBACKEND_ModelInstanceModel(instance, &model);
    if (error != NULL) return error;
    uint64_t start_ns = nanoseconds_now();
    for (uint32_t i = 0; i < count; i++) engine_take(triton_state(model), requests[i]);
    count_and_release(instance, requests, count, start_ns);
    return NULL;
}
