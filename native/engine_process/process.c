#include "process.h"

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

// The models run without it: what it gives was measured for tritonserver alone.
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

bool process_start(Process *process, const char *script, const char *name) {
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

void process_wait(Process *process, char *text, size_t size) {
    int status = 0;
    while (waitpid(process->pid, &status, 0) < 0 && errno == EINTR) continue;
    if (WIFSIGNALED(status))
        snprintf(text, size, "the engine's process was ended by signal %d", WTERMSIG(status));
    else
        snprintf(text, size, "the engine's process ended with status %d", WEXITSTATUS(status));
}
