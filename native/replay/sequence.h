// One sequence: when its next tokens are due, and what is sent then. Times are seconds of the monotonic clock.
#pragma once

#include "request.h"

typedef struct {
    double tokens_per_second;  // 0: flat out
    double jitter;             // a part of the time between two responses
    int64_t tokens_per_response;
    int64_t tokens_per_block;
} Pace;

typedef struct Sequence {
    TRITONBACKEND_ResponseFactory *factory;
    char *request_id;
    Request request;
    int64_t num_written;  // steps
    double written_until;  // the end of a step, if there is a pace
    double due;
    double arrived;
    double first_token;
    struct Sequence *next;
} Sequence;

double seconds_now(void);
void sequence_begin(Sequence *sequence, const Pace *pace);
// Sends the next turn's tokens, and no more of them however late it is; true when they were the last.
bool sequence_advance(Sequence *sequence, const Pace *pace, const Words *words);
// As a cancelled request: what was written and not sent, as the last response.
void sequence_stop(Sequence *sequence, const Pace *pace, const Words *words);
void sequence_free(Sequence *sequence);
