#include "engine.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "gauge.h"
#include "requests.h"

// As TensorRT-LLM's cancellation_check_period_ms.
enum { CANCELLATION_CHECK_PERIOD_NS = 100000000, SECOND_NS = 1000000000 };
// More than the process gives itself, less than tritonserver's --exit-timeout-secs.
enum { CLOSING_TIME_S = 9 };
enum { FIRST_CAPACITY = 1 << 16 };

typedef enum { ENGINE_STARTS, ENGINE_SERVES, ENGINE_HAS_ENDED } EngineState;

typedef struct {
    pid_t pid;
    int socket;
} Process;

struct Engine {
    Process process;
    OpenRequests requests;
    Gauges gauges;
    pthread_t reader;
    pthread_t watcher;
    pthread_mutex_t write_lock;
    pthread_mutex_t state_lock;
    pthread_cond_t changed;
    EngineState state;
    bool is_closing;
    char end[512];
};

extern char **environ;

// The models run without it: under any allocator but the C library's OpenVINO 2026.4 frees wrongly and ends.
static const char PRELOADED[] = "LD_PRELOAD=";

static char **environment_of_models(void) {
    size_t count = 0, kept = 0;
    while (environ[count] != NULL) count++;
    char **variables = calloc(count + 1, sizeof *variables);
    for (size_t i = 0; i < count; i++)
        if (strncmp(environ[i], PRELOADED, sizeof PRELOADED - 1) != 0) variables[kept++] = environ[i];
    return variables;
}

static int spawn(pid_t *pid, const char *script, const char *name, int socket) {
    char *const arguments[] = {"python3", (char *)script, (char *)name, NULL};
    char **variables = environment_of_models();
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, socket, STDIN_FILENO);
    int code = posix_spawnp(pid, arguments[0], &actions, NULL, arguments, variables);
    posix_spawn_file_actions_destroy(&actions);
    free(variables);
    return code;
}

// Runs `python3 script name` with a socket to it as its standard input; false, with errno, if it can't be started.
static bool start_process(Process *process, const char *script, const char *name) {
    int sockets[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) return false;
    int code = spawn(&process->pid, script, name, sockets[1]);
    close(sockets[1]);
    if (code != 0) {
        close(sockets[0]);
        errno = code;
    }
    process->socket = sockets[0];
    return code == 0;
}

// Waits until it is gone, and writes how it ended.
static void wait_for_process(Process *process, char *text, size_t size) {
    int status = 0;
    while (waitpid(process->pid, &status, 0) < 0 && errno == EINTR) continue;
    if (WIFSIGNALED(status))
        snprintf(text, size, "the engine's process was ended by signal %d", WTERMSIG(status));
    else
        snprintf(text, size, "the engine's process ended with status %d", WEXITSTATUS(status));
}

static void set_state(Engine *engine, EngineState state) {
    pthread_mutex_lock(&engine->state_lock);
    engine->state = state;
    pthread_cond_broadcast(&engine->changed);
    pthread_mutex_unlock(&engine->state_lock);
}

static bool send_frame(Engine *engine, FrameWriter *frame) {
    pthread_mutex_lock(&engine->write_lock);
    bool is_sent = frame_send(frame, engine->process.socket);
    pthread_mutex_unlock(&engine->write_lock);
    return is_sent;
}

// False when it is not one of the frames that come from the engine.
static bool handle(Engine *engine, FrameReader *frame) {
    switch (frame_u8(frame)) {
        case FRAME_RESPONSE: return response_pass_on(&engine->requests, frame);
        case FRAME_FLAGS: return response_pass_flags_on(&engine->requests, frame);
        case FRAME_ERROR: return response_pass_error_on(&engine->requests, frame);
        case FRAME_FAMILY: return gauge_open_family(&engine->gauges, frame);
        case FRAME_METRIC: return gauge_open(&engine->gauges, frame);
        case FRAME_GAUGE: return gauge_set(&engine->gauges, frame);
        case FRAME_READY: set_state(engine, ENGINE_SERVES); return true;
        case FRAME_FAILED: snprintf(engine->end, sizeof engine->end, "%s", frame_text(frame)); return true;
        default: return false;
    }
}

typedef struct {
    char *bytes;
    size_t used;
    size_t capacity;
} Inbox;

// The frames that have come whole; what is left of the next one goes to the beginning.
static bool handle_whole(Engine *engine, Inbox *inbox) {
    size_t at = 0;
    uint32_t size;
    while (inbox->used - at >= FRAME_SIZE_BYTES) {
        memcpy(&size, inbox->bytes + at, FRAME_SIZE_BYTES);
        if (inbox->used - at - FRAME_SIZE_BYTES < size) break;
        FrameReader frame = {inbox->bytes + at + FRAME_SIZE_BYTES, inbox->bytes + at + FRAME_SIZE_BYTES + size, false};
        if (!handle(engine, &frame)) return false;
        at += FRAME_SIZE_BYTES + size;
    }
    inbox->used -= at;
    memmove(inbox->bytes, inbox->bytes + at, inbox->used);
    if (inbox->used == inbox->capacity) inbox->bytes = realloc(inbox->bytes, inbox->capacity *= 2);
    return true;
}

static bool receive(Engine *engine, Inbox *inbox) {
    ssize_t count;
    do
        count = recv(engine->process.socket, inbox->bytes + inbox->used, inbox->capacity - inbox->used, 0);
    while (count < 0 && errno == EINTR);
    if (count <= 0) return false;
    inbox->used += (size_t)count;
    return true;
}

// Says how the process ended, unless it said why itself, to all that still wait for it.
static void end(Engine *engine) {
    char text[sizeof engine->end];
    shutdown(engine->process.socket, SHUT_RDWR);
    wait_for_process(&engine->process, text, sizeof text);
    if (*engine->end == '\0') memcpy(engine->end, text, sizeof text);
    set_state(engine, ENGINE_HAS_ENDED);
    for (uint64_t key; (key = open_requests_any(&engine->requests)) != 0;)
        response_fail(&engine->requests, key, TRITONSERVER_ERROR_INTERNAL, engine->end);
}

static void *read_frames(void *argument) {
    Engine *engine = argument;
    Inbox inbox = {malloc(FIRST_CAPACITY), 0, FIRST_CAPACITY};
    bool is_sound = true;
    while (is_sound && receive(engine, &inbox)) is_sound = handle_whole(engine, &inbox);
    if (!is_sound) kill(engine->process.pid, SIGKILL);
    free(inbox.bytes);
    end(engine);
    return NULL;
}

// False once there is nothing more to watch.
static bool sleep_a_period(Engine *engine) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += CANCELLATION_CHECK_PERIOD_NS;
    until.tv_sec += until.tv_nsec / SECOND_NS;
    until.tv_nsec %= SECOND_NS;
    pthread_mutex_lock(&engine->state_lock);
    if (engine->state != ENGINE_HAS_ENDED && !engine->is_closing)
        pthread_cond_timedwait(&engine->changed, &engine->state_lock, &until);
    bool goes_on = engine->state != ENGINE_HAS_ENDED && !engine->is_closing;
    pthread_mutex_unlock(&engine->state_lock);
    return goes_on;
}

// Not the reader's work: to write may mean to wait until the engine reads.
static void *watch_clients(void *argument) {
    Engine *engine = argument;
    while (sleep_a_period(engine))
        for (uint64_t key; (key = open_requests_next_cancelled(&engine->requests)) != 0;) {
            FrameWriter frame = frame_begin(FRAME_CANCELLED);
            frame_put_u64(&frame, key);
            send_frame(engine, &frame);
            frame_free(&frame);
        }
    return NULL;
}

static EngineState wait_for_start(Engine *engine) {
    pthread_mutex_lock(&engine->state_lock);
    while (engine->state == ENGINE_STARTS) pthread_cond_wait(&engine->changed, &engine->state_lock);
    EngineState state = engine->state;
    pthread_mutex_unlock(&engine->state_lock);
    return state;
}

static Engine *engine_new(void) {
    Engine *engine = calloc(1, sizeof *engine);
    open_requests_init(&engine->requests);
    pthread_mutex_init(&engine->write_lock, NULL);
    pthread_mutex_init(&engine->state_lock, NULL);
    pthread_cond_init(&engine->changed, NULL);
    return engine;
}

static void engine_free(Engine *engine) {
    gauge_free_all(&engine->gauges);
    open_requests_free(&engine->requests);
    pthread_mutex_destroy(&engine->write_lock);
    pthread_mutex_destroy(&engine->state_lock);
    pthread_cond_destroy(&engine->changed);
    free(engine);
}

Engine *engine_start(const char *script, const char *name, FrameWriter *model, char *reason, size_t size) {
    Engine *engine = engine_new();
    if (!start_process(&engine->process, script, name)) {
        snprintf(reason, size, "%s can't be started: %s", script, strerror(errno));
        engine_free(engine);
        return NULL;
    }
    send_frame(engine, model);
    pthread_create(&engine->reader, NULL, read_frames, engine);
    pthread_create(&engine->watcher, NULL, watch_clients, engine);
    if (wait_for_start(engine) == ENGINE_SERVES) return engine;
    snprintf(reason, size, "%s", engine->end);
    engine_close(engine);
    return NULL;
}

void engine_take(Engine *engine, TRITONBACKEND_Request *asked) {
    TRITONBACKEND_ResponseFactory *factory;
    if (!succeeded(TRITONBACKEND_ResponseFactoryNew(&factory, asked))) return;
    uint64_t key = open_requests_add(&engine->requests, factory);
    FrameWriter frame = frame_begin(FRAME_REQUEST);
    frame_put_u64(&frame, key);
    if (!request_write(asked, &frame) || !send_frame(engine, &frame))
        response_fail(&engine->requests, key, TRITONSERVER_ERROR_INTERNAL, "the engine can't be reached");
    frame_free(&frame);
}

static void wait_for_end(Engine *engine) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += CLOSING_TIME_S;
    pthread_mutex_lock(&engine->state_lock);
    engine->is_closing = true;
    pthread_cond_broadcast(&engine->changed);
    int code = 0;
    while (engine->state != ENGINE_HAS_ENDED && code == 0)
        code = pthread_cond_timedwait(&engine->changed, &engine->state_lock, &until);
    if (engine->state != ENGINE_HAS_ENDED) kill(engine->process.pid, SIGKILL);
    pthread_mutex_unlock(&engine->state_lock);
}

void engine_close(Engine *engine) {
    shutdown(engine->process.socket, SHUT_WR);
    wait_for_end(engine);
    pthread_join(engine->reader, NULL);
    pthread_join(engine->watcher, NULL);
    close(engine->process.socket);
    engine_free(engine);
}
