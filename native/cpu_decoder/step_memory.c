#include "step_memory.h"

#include <stdlib.h>

// On the borders that vector loads want; what was in it is lost.
static bool resize(void **array, size_t num_bytes) {
    void *larger = aligned_alloc(64, (num_bytes + 63) / 64 * 64);
    if (larger == NULL) return false;
    free(*array);
    *array = larger;
    return true;
}

static bool resize_rows(RoundedRows *rows, size_t num_rows, int width) {
    size_t size = num_rows * (size_t)width;
    rows->width = width;
    return resize((void **)&rows->values, size * sizeof(Rounded)) &&
           resize((void **)&rows->scales, size / GROUP * sizeof(float)) &&
           resize((void **)&rows->offsets, size / GROUP * sizeof(int32_t));
}

static void free_rows(RoundedRows *rows) {
    free(rows->values);
    free(rows->scales);
    free(rows->offsets);
}

static bool grow_arrays(StepMemory *memory, const Heads *heads, int hidden_size, size_t num_ids) {
    size_t angles = num_ids * (size_t)(heads->head_size / 2) * sizeof(float);
    size_t heads_of_all = num_ids * (size_t)heads->num_heads;
    size_t joined = heads_of_all * (size_t)heads->head_size;
    size_t keys = num_ids * (size_t)(heads->num_kv_heads * heads->head_size);
    return resize((void **)&memory->hidden, num_ids * (size_t)hidden_size * sizeof(float)) &&
           resize((void **)&memory->projected, (joined + 2 * keys) * sizeof(float)) &&
           resize((void **)&memory->queries.values, joined * sizeof(Rounded)) &&
           resize((void **)&memory->queries.scales, heads_of_all * sizeof(float)) &&
           resize((void **)&memory->queries.offsets, heads_of_all * sizeof(int32_t)) &&
           resize((void **)&memory->cosines, angles) && resize((void **)&memory->sines, angles) &&
           resize((void **)&memory->blocks, num_ids * sizeof(int32_t)) &&
           resize((void **)&memory->spans, num_ids * sizeof(Span));
}

bool step_memory_grow(StepMemory *memory, const Model *model, int num_ids) {
    if (num_ids <= memory->capacity) return true;
    const Heads *heads = &model->heads;
    memory->capacity = 0;
    if (!grow_arrays(memory, heads, model->hidden_size, (size_t)num_ids) ||
        !resize_rows(&memory->normed, (size_t)num_ids, model->hidden_size) ||
        !resize_rows(&memory->joined, (size_t)num_ids, heads->num_heads * heads->head_size) ||
        !resize_rows(&memory->inner, (size_t)num_ids, model->inner_size))
        return false;
    memory->capacity = num_ids;
    return true;
}

void step_memory_free(StepMemory *memory) {
    free(memory->hidden);
    free(memory->projected);
    free(memory->queries.values);
    free(memory->queries.scales);
    free(memory->queries.offsets);
    free(memory->cosines);
    free(memory->sines);
    free(memory->blocks);
    free(memory->spans);
    free_rows(&memory->normed);
    free_rows(&memory->joined);
    free_rows(&memory->inner);
}

static void plan_text(StepMemory *memory, int max_rows, const int32_t *blocks, int begin, int end,
                      const int64_t *positions) {
    for (int row = begin; row < end; row++) {
        memory->blocks[row] = blocks[positions[row] / BLOCK_TOKENS];
        if ((row - begin) % max_rows != 0) continue;
        int num_rows = end - row < max_rows ? end - row : max_rows;
        memory->spans[memory->num_spans++] = (Span){blocks, row, num_rows, (int)positions[row]};
    }
}

void step_memory_plan(StepMemory *memory, const Heads *heads, const Step *step) {
    int max_rows = MAX_QUERIES / (heads->num_heads / heads->num_kv_heads);
    memory->num_spans = 0;
    for (int text = 0; text < step->num_texts; text++)
        plan_text(memory, max_rows, step->blocks + step->block_begins[text], step->text_begins[text],
                  step->text_begins[text + 1], step->positions);
}
