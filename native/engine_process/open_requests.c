#include "open_requests.h"

#include <stdlib.h>

enum { FIRST_SLOTS = 64 };

void open_requests_init(OpenRequests *requests) {
    *requests = (OpenRequests){.num_slots = FIRST_SLOTS};
    requests->slots = calloc(FIRST_SLOTS, sizeof *requests->slots);
    pthread_mutex_init(&requests->lock, NULL);
}

void open_requests_free(OpenRequests *requests) {
    pthread_mutex_destroy(&requests->lock);
    free(requests->slots);
}

// A key's place is its remainder: no other open one may have the same.
static OpenRequest *slot_of(OpenRequests *requests, uint64_t key) {
    return &requests->slots[key % requests->num_slots];
}

static void place(OpenRequests *requests, OpenRequest request) { *slot_of(requests, request.key) = request; }

static void grow(OpenRequests *requests) {
    OpenRequests larger = *requests;
    larger.num_slots *= 2;
    larger.slots = calloc(larger.num_slots, sizeof *larger.slots);
    for (size_t i = 0; i < requests->num_slots; i++)
        if (requests->slots[i].key != 0) place(&larger, requests->slots[i]);
    free(requests->slots);
    requests->slots = larger.slots;
    requests->num_slots = larger.num_slots;
}

uint64_t open_requests_add(OpenRequests *requests, TRITONBACKEND_ResponseFactory *factory) {
    pthread_mutex_lock(&requests->lock);
    if (2 * requests->num_open >= requests->num_slots) grow(requests);
    do
        requests->num_opened++;
    while (slot_of(requests, requests->num_opened)->key != 0);
    uint64_t key = requests->num_opened;
    place(requests, (OpenRequest){key, factory, false});
    requests->num_open++;
    pthread_mutex_unlock(&requests->lock);
    return key;
}

static TRITONBACKEND_ResponseFactory *look_up(OpenRequests *requests, uint64_t key, bool closes) {
    pthread_mutex_lock(&requests->lock);
    OpenRequest *slot = slot_of(requests, key);
    TRITONBACKEND_ResponseFactory *factory = slot->key == key ? slot->factory : NULL;
    if (closes && factory != NULL) {
        *slot = (OpenRequest){0};
        requests->num_open--;
    }
    pthread_mutex_unlock(&requests->lock);
    return factory;
}

TRITONBACKEND_ResponseFactory *open_requests_find(OpenRequests *requests, uint64_t key) {
    return look_up(requests, key, false);
}

TRITONBACKEND_ResponseFactory *open_requests_take(OpenRequests *requests, uint64_t key) {
    return look_up(requests, key, true);
}

uint64_t open_requests_any(OpenRequests *requests) {
    uint64_t key = 0;
    pthread_mutex_lock(&requests->lock);
    for (size_t i = 0; i < requests->num_slots && key == 0; i++) key = requests->slots[i].key;
    pthread_mutex_unlock(&requests->lock);
    return key;
}

static bool has_just_left(const OpenRequest *request) {
    return request->key != 0 && !request->is_cancelled && triton_is_cancelled(request->factory);
}

uint64_t open_requests_next_cancelled(OpenRequests *requests) {
    uint64_t key = 0;
    pthread_mutex_lock(&requests->lock);
    for (size_t i = 0; i < requests->num_slots && key == 0; i++)
        if (has_just_left(&requests->slots[i])) {
            requests->slots[i].is_cancelled = true;
            key = requests->slots[i].key;
        }
    pthread_mutex_unlock(&requests->lock);
    return key;
}
