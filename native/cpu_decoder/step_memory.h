// What the layers of a step pass on to each other, for each of its ids.
#pragma once

#include "attention.h"
#include "decoder.h"

typedef struct {
    int capacity;  // in ids
    float *hidden;
    float *projected;  // queries, keys and values
    Queries queries;
    float *cosines;
    float *sines;
    int32_t *blocks;  // where an id's key and value go
    Span *spans;
    int num_spans;
    RoundedRows normed;
    RoundedRows joined;
    RoundedRows inner;
} StepMemory;

// Room for so many ids; what was in it is lost. False when memory is lacking.
bool step_memory_grow(StepMemory *memory, const Model *model, int num_ids);
void step_memory_free(StepMemory *memory);
// Cuts the step's texts into spans, and finds each id's block.
void step_memory_plan(StepMemory *memory, const Heads *heads, const Step *step);
