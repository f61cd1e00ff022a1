// The requests whose final response has not come yet, by the key that the engine's process knows them by.
#pragma once

#include <pthread.h>

#include "triton.h"

typedef struct {
    uint64_t key;  // 0: free
    TRITONBACKEND_ResponseFactory *factory;
    bool is_cancelled;
} OpenRequest;

typedef struct {
    OpenRequest *slots;
    size_t num_slots;
    size_t num_open;
    uint64_t num_opened;
    pthread_mutex_t lock;
} OpenRequests;

void open_requests_init(OpenRequests *requests);
void open_requests_free(OpenRequests *requests);
// The new key, never 0.
uint64_t open_requests_add(OpenRequests *requests, TRITONBACKEND_ResponseFactory *factory);
// NULL when the key is unknown or closed. Only the thread that takes may use what it finds.
TRITONBACKEND_ResponseFactory *open_requests_find(OpenRequests *requests, uint64_t key);
// As find, and closes it: the factory is the caller's now.
TRITONBACKEND_ResponseFactory *open_requests_take(OpenRequests *requests, uint64_t key);
// Some key of those left, or 0.
uint64_t open_requests_any(OpenRequests *requests);
// A key whose client has left since the last look, or 0.
uint64_t open_requests_next_cancelled(OpenRequests *requests);
