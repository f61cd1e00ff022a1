// A request as the engine's process reads it.
#pragma once

#include "frame.h"
#include "triton_backend.h"

// False where its tensors can't be read.
bool request_write(TRITONBACKEND_Request *asked, FrameWriter *frame);
