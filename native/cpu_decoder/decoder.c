#include "decoder.h"

#include <math.h>
#include <stdlib.h>

#include "step_memory.h"
#include "threads.h"

// Rows that a task multiplies with one panel, so that both stay in a core's caches, and rows of other tasks.
enum { MAX_TASK_ROWS = 21 * TILE_ROWS, ROWS_A_TASK = 8 };

struct Decoder {
    Model model;
    KvCache cache;
    Threads *threads;
    StepMemory memory;
};

// What the tasks of one loop share.
typedef struct {
    Decoder *decoder;
    const Step *step;
    Walk *walk;
    const Layer *layer;
    int layer_number;
    int num_rows;
    void (*compute)(const void *loop, int row);
    const float *norm;
    const RoundedRows *rows;
    const ByteMatrix *matrix;
    float *products;
    bool adds;
} Loop;

typedef struct {
    int panel;
    int first_row;
    int end_row;
} ProductTask;

static int least(int one, int other) { return one < other ? one : other; }

// Two shares of the rows at least, where there are enough of them to read the weights twice.
static int task_rows(int num_rows) {
    if (num_rows <= 4 * TILE_ROWS) return num_rows;
    int half = (num_rows / 2 + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS;
    return least(half, MAX_TASK_ROWS);
}

static int num_product_tasks(const ByteMatrix *matrix, int num_rows) {
    int rows = task_rows(num_rows);
    return matrix->num_outputs / PANEL * ((num_rows + rows - 1) / rows);
}

static ProductTask product_task(const ByteMatrix *matrix, int num_rows, int number) {
    int num_panels = matrix->num_outputs / PANEL;
    int first_row = number / num_panels * task_rows(num_rows);
    return (ProductTask){number % num_panels, first_row, least(first_row + task_rows(num_rows), num_rows)};
}

static void write_products(const Loop *loop, int row, int panel, const float *products) {
    float *target = loop->products + (int64_t)row * loop->matrix->num_outputs + panel * PANEL;
    for (int i = 0; i < PANEL; i++) target[i] = loop->adds ? target[i] + products[i] : products[i];
}

static void multiply_task(const void *argument, int number) {
    const Loop *loop = argument;
    ProductTask task = product_task(loop->matrix, loop->num_rows, number);
    float products[TILE_ROWS][PANEL];
    for (int row = task.first_row; row < task.end_row; row += TILE_ROWS) {
        int count = least(task.end_row - row, TILE_ROWS);
        multiply_tile(loop->rows, row, count, loop->matrix, task.panel, products);
        for (int i = 0; i < count; i++) write_products(loop, row + i, task.panel, products[i]);
    }
}

static void multiply(Loop loop, const RoundedRows *rows, const ByteMatrix *matrix, float *products, bool adds) {
    loop.rows = rows;
    loop.matrix = matrix;
    loop.products = products;
    loop.adds = adds;
    threads_share(loop.walk, multiply_task, &loop, num_product_tasks(matrix, loop.num_rows));
}

// SwiGLU (arXiv:2002.05202): gate * sigmoid(gate) * up, in the gate's place.
static void apply_gate(float *gates, const float *ups) {
    for (int i = 0; i < PANEL; i += LANES) {
        Floats gate = load_floats(gates + i);
        Floats power = power_of_two(gate * all_floats(-LOG2_E));
        store_floats(gates + i, gate * load_floats(ups + i) / (power + all_floats(1)));
    }
}

static void gate_task(const void *argument, int number) {
    const Loop *loop = argument;
    const StepMemory *memory = &loop->decoder->memory;
    ProductTask task = product_task(&loop->layer->gate, loop->num_rows, number);
    float gates[TILE_ROWS][PANEL], ups[TILE_ROWS][PANEL];
    for (int row = task.first_row; row < task.end_row; row += TILE_ROWS) {
        int count = least(task.end_row - row, TILE_ROWS);
        multiply_tile(&memory->normed, row, count, &loop->layer->gate, task.panel, gates);
        multiply_tile(&memory->normed, row, count, &loop->layer->up, task.panel, ups);
        for (int i = 0; i < count; i++) {
            apply_gate(gates[i], ups[i]);
            round_group(&memory->inner, row + i, task.panel, gates[i]);
        }
    }
}

static void rows_task(const void *argument, int number) {
    const Loop *loop = argument;
    int end = least((number + 1) * ROWS_A_TASK, loop->num_rows);
    for (int row = number * ROWS_A_TASK; row < end; row++) loop->compute(loop, row);
}

static void compute_rows(Loop loop, void (*compute)(const void *loop, int row)) {
    loop.compute = compute;
    int num_tasks = (loop.num_rows + ROWS_A_TASK - 1) / ROWS_A_TASK;
    threads_share(loop.walk, rows_task, &loop, num_tasks);
}

static void find_angles(int position, const float *frequencies, int count, float *cosines, float *sines) {
    for (int i = 0; i < count; i++) {
        float angle = (float)position * frequencies[i];
        cosines[i] = cosf(angle);
        sines[i] = sinf(angle);
    }
}

// Rotary position embedding (arXiv:2104.09864), in Hugging Face's order: a head's halves are turned together.
static void rotate(float *head, const float *restrict cosines, const float *restrict sines, int half, float scale) {
    float *restrict first = head, *restrict second = head + half;
    for (int i = 0; i < half; i++) {
        float before = first[i];
        first[i] = (before * cosines[i] - second[i] * sines[i]) * scale;
        second[i] = (second[i] * cosines[i] + before * sines[i]) * scale;
    }
}

static void embed_row(const void *argument, int row) {
    const Loop *loop = argument;
    const Model *model = &loop->decoder->model;
    const StepMemory *memory = &loop->decoder->memory;
    int64_t half = model->heads.head_size / 2;
    unpack_row(&model->embedding, (int)loop->step->ids[row], memory->hidden + (int64_t)row * model->hidden_size);
    find_angles((int)loop->step->positions[row], model->frequencies, (int)half, memory->cosines + row * half,
                memory->sines + row * half);
}

static void norm_row(const void *argument, int row) {
    const Loop *loop = argument;
    const Model *model = &loop->decoder->model;
    const StepMemory *memory = &loop->decoder->memory;
    const float *hidden = memory->hidden + (int64_t)row * model->hidden_size;
    round_normed(&memory->normed, row, hidden, loop->norm, model->norm_epsilon);
}

static void norm(Loop loop, const float *weights) {
    loop.norm = weights;
    compute_rows(loop, norm_row);
}

// Turns queries and keys, and puts keys and values where they will be found.
static void place_row(const void *argument, int row) {
    const Loop *loop = argument;
    const KvCache *cache = &loop->decoder->cache;
    const StepMemory *memory = &loop->decoder->memory;
    const Heads *heads = &cache->heads;
    int size = heads->head_size, half = size / 2;
    const float *cosines = memory->cosines + (int64_t)row * half, *sines = memory->sines + (int64_t)row * half;
    float *head = memory->projected + (int64_t)row * (heads->num_heads + 2 * heads->num_kv_heads) * size;
    for (int i = 0; i < heads->num_heads; i++, head += size) {
        int64_t place = (int64_t)row * heads->num_heads + i;
        int32_t sum;
        rotate(head, cosines, sines, half, LOG2_E / sqrtf((float)size));
        memory->queries.scales[place] = round_values(head, size, memory->queries.values + place * size, &sum);
        memory->queries.offsets[place] = -128 * sum;
    }
    int block = memory->blocks[row], place = (int)(loop->step->positions[row] % BLOCK_TOKENS);
    for (int i = 0; i < heads->num_kv_heads; i++, head += size) {
        rotate(head, cosines, sines, half, 1);
        kv_cache_store(cache, loop->layer_number, i, block, place, head, head + heads->num_kv_heads * size);
    }
}

static void attend_task(const void *argument, int number) {
    const Loop *loop = argument;
    Decoder *decoder = loop->decoder;
    int kv_head = number % decoder->cache.heads.num_kv_heads;
    const Span *span = &decoder->memory.spans[number / decoder->cache.heads.num_kv_heads];
    attend(&decoder->cache, loop->layer_number, kv_head, span, &decoder->memory.queries, &decoder->memory.joined);
}

static void run_layer(Loop loop, const Layer *layer, int number) {
    Decoder *decoder = loop.decoder;
    StepMemory *memory = &decoder->memory;
    loop.layer = layer;
    loop.layer_number = number;
    norm(loop, layer->input_norm);
    multiply(loop, &memory->normed, &layer->projections, memory->projected, false);
    compute_rows(loop, place_row);
    threads_share(loop.walk, attend_task, &loop, memory->num_spans * decoder->cache.heads.num_kv_heads);
    multiply(loop, &memory->joined, &layer->output, memory->hidden, true);
    norm(loop, layer->attention_norm);
    threads_share(loop.walk, gate_task, &loop, num_product_tasks(&layer->gate, loop.num_rows));
    multiply(loop, &memory->inner, &layer->down, memory->hidden, true);
}

static void norm_wanted_row(const void *argument, int row) {
    const Loop *loop = argument;
    const Model *model = &loop->decoder->model;
    const StepMemory *memory = &loop->decoder->memory;
    const float *hidden = memory->hidden + loop->step->wanted[row] * model->hidden_size;
    round_normed(&memory->normed, row, hidden, model->final_norm, model->norm_epsilon);
}

static void write_logits(Loop loop, float *logits) {
    Decoder *decoder = loop.decoder;
    loop.num_rows = loop.step->num_wanted;
    compute_rows(loop, norm_wanted_row);
    multiply(loop, &decoder->memory.normed, &decoder->model.head, logits, false);
}

typedef struct {
    Decoder *decoder;
    const Step *step;
    float *logits;
} StepWay;

static void compute_step(void *argument, Walk *walk) {
    StepWay *way = argument;
    const Model *model = &way->decoder->model;
    Loop loop = {.decoder = way->decoder, .step = way->step, .walk = walk, .num_rows = way->step->num_ids};
    compute_rows(loop, embed_row);
    for (int i = 0; i < model->num_layers; i++) run_layer(loop, &model->layers[i], i);
    if (way->step->num_wanted > 0) write_logits(loop, way->logits);
}

bool decoder_step(Decoder *decoder, const Step *step, float *logits) {
    if (!step_memory_grow(&decoder->memory, &decoder->model, step->num_ids)) return false;
    step_memory_plan(&decoder->memory, &decoder->model.heads, step);
    StepWay way = {decoder, step, logits};
    threads_run(decoder->threads, compute_step, &way);
    return true;
}

Decoder *decoder_open(const Model *model, uint8_t *kv_cache, int num_threads) {
    Decoder *decoder = calloc(1, sizeof *decoder);
    if (decoder == NULL) return NULL;
    decoder->model = *model;
    decoder->cache = (KvCache){kv_cache, model->num_layers, model->heads};
    decoder->threads = threads_start(num_threads);
    if (decoder->threads != NULL) return decoder;
    free(decoder);
    return NULL;
}

void decoder_close(Decoder *decoder) {
    threads_stop(decoder->threads);
    step_memory_free(&decoder->memory);
    free(decoder);
}
