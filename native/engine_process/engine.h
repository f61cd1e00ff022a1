// The engine in its process: requests go there, and what it answers goes to Triton.
#pragma once

#include "frame.h"
#include "triton.h"

typedef struct Engine Engine;

// Starts the script, by its model's name in the list of processes, and sends it the model; returns once it serves.
// NULL, and why, if it does not.
Engine *engine_start(const char *script, const char *name, FrameWriter *model, char *reason, size_t size);
void engine_take(Engine *engine, TRITONBACKEND_Request *asked);
// Ends what is open; returns once the process is gone.
void engine_close(Engine *engine);
