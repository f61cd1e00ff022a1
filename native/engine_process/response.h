// Responses as the engine's process writes them, passed on to Triton.
#pragma once

#include "frame.h"
#include "open_requests.h"

// The rest of a FRAME_RESPONSE, FRAME_FLAGS or FRAME_ERROR; false if it is not one.
bool response_pass_on(OpenRequests *requests, FrameReader *frame);
bool response_pass_flags_on(OpenRequests *requests, FrameReader *frame);
bool response_pass_error_on(OpenRequests *requests, FrameReader *frame);
// Ends the responses with an error, if they are still open.
void response_fail(OpenRequests *requests, uint64_t key, TRITONSERVER_Error_Code code, const char *text);
