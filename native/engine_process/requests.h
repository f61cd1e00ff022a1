// Requests as the engine's process reads them, and its responses passed on to Triton.
#pragma once

#include "frame.h"
#include "open_requests.h"

// False where its tensors can't be read.
bool request_write(TRITONBACKEND_Request *asked, FrameWriter *frame);

// The rest of a FRAME_RESPONSE, FRAME_FLAGS or FRAME_ERROR; false if it is not one.
bool response_pass_on(OpenRequests *requests, FrameReader *frame);
bool response_pass_flags_on(OpenRequests *requests, FrameReader *frame);
bool response_pass_error_on(OpenRequests *requests, FrameReader *frame);
// Ends the responses with an error, if they are still open.
void response_fail(OpenRequests *requests, uint64_t key, TRITONSERVER_Error_Code code, const char *text);
