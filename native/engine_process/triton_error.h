// What Triton says when a call of its API fails.
#pragma once

#include "triton_backend.h"

// Logs and frees an error of Triton's; true without one.
bool succeeded(TRITONSERVER_Error *error);
