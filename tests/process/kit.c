/* SPDX-License-Identifier: MIT */
/* The part of kit.h that starts programs and looks at processes. */
#include "kit.h"
#include "clock.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

#define TEST_SECONDS 40u
#define ARGUMENTS_MAX 48u
#define SERVERS_MAX 4u

const bool kit_sanitized = SANITIZED;

static struct {
    unsigned descriptors;
    unsigned mappings;
} baseline;
static struct kit_server *running[SERVERS_MAX];
static struct kit_result result;
static const void *input_data = "";
static size_t input_bytes;

static unsigned patience(void)
{
    return kit_sanitized ? 4 : 1;
}

static void on_alarm(int number)
{
    static const char text[] = "the test hangs: ended\n";
    (void)number;
    ssize_t ignored = write(STDERR_FILENO, text, sizeof(text) - 1);
    (void)ignored;
    abort();
}

void kit_init(void)
{
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    signal(SIGALRM, on_alarm);
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    assert_non_null(getenv("RASK_BIN"));
    assert_non_null(getenv("RASK_TEST_PLUGINS"));
}

void kit_ignore_leaks(void)
{
    char options[512];
    const char *given = getenv("ASAN_OPTIONS");
    snprintf(options, sizeof(options), "%s:detect_leaks=0", given ? given : "");
    setenv("ASAN_OPTIONS", options, 1);
}

pid_t kit_fork(void)
{
    pid_t parent = getpid(), pid = fork();
    assert_true(pid >= 0);
    if (pid > 0) return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(99);
    static const int taken[] = {SIGALRM, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    for (unsigned i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) signal(taken[i], SIG_DFL);
    alarm(TEST_SECONDS * patience());
    return 0;
}

void kit_pause_ms(unsigned ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    while (nanosleep(&left, &left) < 0 && errno == EINTR) continue;
}

uint64_t kit_seed(void)
{
    const char *wanted = getenv("RASK_SEED");
    uint64_t seed = wanted ? strtoull(wanted, NULL, 0) : rask_now_ns();
    print_message("seed: RASK_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

uint64_t kit_random(uint64_t *state, uint64_t below)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return (z ^ (z >> 31)) % below;
}

const char *kit_plugin(const char *name)
{
    static char paths[4][4096];
    static unsigned turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof(paths[0]), "%s/%s.so", getenv("RASK_TEST_PLUGINS"), name);
    return path;
}

/* ---- looking at processes -------------------------------------------------------------------------------------- */

unsigned kit_descriptors(pid_t pid)
{
    char path[64];
    unsigned count = 0;
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *folder = opendir(path);
    assert_non_null(folder);
    for (const struct dirent *entry; (entry = readdir(folder));) count += entry->d_name[0] != '.';
    closedir(folder);
    return pid == getpid() ? count - 1 : count;
}

unsigned kit_mappings(pid_t pid)
{
    char path[64], line[4400];
    unsigned count = 0;
    snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file)) count += strstr(line, "memfd:rask") != NULL;
    fclose(file);
    return count;
}

/* Time on a processor of the main thread (workers and supervisors have no other), exact where the kernel counts it. */
uint64_t kit_cpu_ns(pid_t pid)
{
    char path[64];
    unsigned long long ns = 0;
    snprintf(path, sizeof(path), "/proc/%d/schedstat", (int)pid);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%llu", &ns), 1);
    fclose(file);
    return ns;
}

unsigned kit_children(pid_t pid, pid_t *pids, unsigned max)
{
    char path[64];
    unsigned count = 0;
    int child;
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
    FILE *file = fopen(path, "re");
    if (!file) return 0;
    while (count < max && fscanf(file, "%d", &child) == 1) pids[count++] = child;
    fclose(file);
    return count;
}

static bool is_worker(pid_t pid)
{
    char path[64], name[32] = "";
    snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
    FILE *file = fopen(path, "re");
    if (!file) return false;
    bool named = fgets(name, sizeof(name), file) && strncmp(name, "rask-worker", 11) == 0;
    fclose(file);
    return named;
}

unsigned kit_workers(pid_t pid, pid_t *pids, unsigned max)
{
    pid_t children[512];
    unsigned found = kit_children(pid, children, 512), count = 0;
    for (unsigned i = 0; i < found && count < max; i++)
        if (is_worker(children[i])) pids[count++] = children[i];
    return count;
}

void kit_wait_children(pid_t pid, unsigned count)
{
    pid_t pids[512];
    uint64_t end_ns = rask_now_ns() + 5 * KIT_S * patience();
    for (;;) {
        unsigned found = kit_children(pid, pids, 512), ready = 0;
        for (unsigned i = 0; i < found; i++) ready += is_worker(pids[i]);
        if (found == count && ready == count) return;
        if (rask_now_ns() > end_ns) fail_msg("%u of %u workers after a long time", ready, count);
        kit_pause_ms(1);
    }
}

unsigned kit_reap_orphans(unsigned timeout_ms)
{
    uint64_t end_ns = rask_now_ns() + timeout_ms * KIT_MS * patience();
    unsigned count = 0;
    for (;;) {
        pid_t pid = waitpid(-1, NULL, WNOHANG);
        if (pid < 0) return count;
        count += pid > 0;
        if (pid == 0 && rask_now_ns() > end_ns) fail_msg("an orphan still runs after %u ms", timeout_ms);
        if (pid == 0) kit_pause_ms(1);
    }
}

/* ---- before and after each test -------------------------------------------------------------------------------- */

int kit_set_up(void **state)
{
    (void)state;
    baseline.descriptors = kit_descriptors(getpid());
    baseline.mappings = kit_mappings(getpid());
    alarm(TEST_SECONDS * patience());
    return 0;
}

static void remove_files(const struct kit_server *server)
{
    char path[128];
    unlink(server->log);
    unlink(server->socket);
    snprintf(path, sizeof(path), "%s.lock", server->socket);
    unlink(path);
    rmdir(server->folder);
}

/* Only after a failure: show what the supervisor said, and end it. */
static void clean_up(struct kit_server *server)
{
    print_message("---- %s\n%s----\n", server->socket, kit_log(server));
    if (server->pid > 0) {
        kill(server->pid, SIGKILL);
        kill(server->pid, SIGCONT);
        waitpid(server->pid, NULL, 0);
    }
    close(server->ready_fd);
    remove_files(server);
}

static int end_all_children(void)
{
    pid_t pids[512];
    unsigned count = kit_children(getpid(), pids, 512);
    for (unsigned i = 0; i < count; i++) {
        print_message("process %d was left behind\n", (int)pids[i]);
        kill(pids[i], SIGKILL);
    }
    while (waitpid(-1, NULL, 0) > 0) continue;
    return (int)count;
}

int kit_tear_down(void **state)
{
    (void)state;
    int faults = 0;
    for (unsigned i = 0; i < SERVERS_MAX; i++) {
        if (!running[i]) continue;
        clean_up(running[i]);
        running[i] = NULL;
        faults++;
    }
    faults += end_all_children();
    alarm(0);
    input_bytes = 0;
    unsigned descriptors = kit_descriptors(getpid()), mappings = kit_mappings(getpid());
    if (descriptors != baseline.descriptors || mappings != baseline.mappings) {
        print_message("%u descriptors instead of %u, %u mappings instead of %u\n", descriptors, baseline.descriptors,
                      mappings, baseline.mappings);
        faults++;
    }
    return faults ? -1 : 0;
}

/* ---- running rask ---------------------------------------------------------------------------------------------- */

void kit_input(const void *data, size_t bytes)
{
    input_data = data;
    input_bytes = bytes;
}

static int scratch_file(const void *data, size_t bytes)
{
    int fd = memfd_create("kit", MFD_CLOEXEC);
    assert_true(fd >= 0);
    if (bytes > 0) assert_int_equal(pwrite(fd, data, bytes, 0), bytes);
    return fd;
}

static char *read_all(int fd, size_t *bytes)
{
    off_t size = lseek(fd, 0, SEEK_END);
    char *text = malloc((size_t)size + 1);
    assert_non_null(text);
    assert_int_equal(pread(fd, text, (size_t)size, 0), size);
    text[size] = '\0';
    if (bytes) *bytes = (size_t)size;
    close(fd);
    return text;
}

static pid_t launch(const char *const *arguments, const char *const *environment, int in, int out, int err)
{
    pid_t pid = kit_fork();
    if (pid > 0) return pid;
    alarm(0);
    signal(SIGPIPE, SIG_DFL);
    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    for (; environment && *environment; environment++) putenv((char *)(uintptr_t)*environment);
    execvp(arguments[0], (char *const *)(uintptr_t)arguments);
    _exit(99);
}

pid_t kit_launch(const char *const *arguments, int out_fd, int err_fd)
{
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    assert_true(nothing >= 0);
    pid_t pid = launch(arguments, NULL, nothing, out_fd >= 0 ? out_fd : nothing, err_fd >= 0 ? err_fd : nothing);
    close(nothing);
    return pid;
}

int kit_wait(pid_t pid, unsigned timeout_ms)
{
    uint64_t end_ns = rask_now_ns() + timeout_ms * KIT_MS * patience();
    int status = 0;
    pid_t got;
    while ((got = waitpid(pid, &status, WNOHANG)) == 0) {
        if (rask_now_ns() > end_ns) fail_msg("process %d has not ended within %u ms", (int)pid, timeout_ms);
        kit_pause_ms(1);
    }
    assert_int_equal(got, pid);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

const struct kit_result *kit_program(const char *const *arguments, const char *const *environment)
{
    int in = scratch_file(input_data, input_bytes), out = scratch_file(NULL, 0), err = scratch_file(NULL, 0);
    free(result.out);
    free(result.err);
    result.out = result.err = NULL; /* what follows may fail, and the next test comes by here again */
    uint64_t start_ns = rask_now_ns();
    pid_t pid = launch(arguments, environment, in, out, err);
    result.code = kit_wait(pid, 30000);
    result.took_ns = rask_now_ns() - start_ns;
    close(in);
    result.out = read_all(out, &result.out_bytes);
    result.err = read_all(err, NULL);
    input_bytes = 0;
    return &result;
}

static void collect(const char **arguments, unsigned *count, va_list list)
{
    const char *argument;
    while ((argument = va_arg(list, const char *))) {
        assert_true(*count < ARGUMENTS_MAX);
        arguments[(*count)++] = argument;
    }
    arguments[*count] = NULL;
}

const struct kit_result *kit_rask(const char *first, ...)
{
    const char *arguments[ARGUMENTS_MAX + 1] = {getenv("RASK_BIN"), first};
    unsigned count = 2;
    va_list list;
    va_start(list, first);
    collect(arguments, &count, list);
    va_end(list);
    return kit_program(arguments, NULL);
}

/* ---- supervisors ----------------------------------------------------------------------------------------------- */

void kit_prepare(struct kit_server *server)
{
    *server = (struct kit_server){.pid = -1, .ready_fd = -1};
    snprintf(server->folder, sizeof(server->folder), "/tmp/rask-test-XXXXXX");
    assert_non_null(mkdtemp(server->folder));
    snprintf(server->socket, sizeof(server->socket), "%s/s", server->folder);
    snprintf(server->log, sizeof(server->log), "%s/log", server->folder);
    unsigned place = 0;
    while (place < SERVERS_MAX && running[place]) place++;
    assert_true(place < SERVERS_MAX);
    running[place] = server;
}

void kit_start_prepared(struct kit_server *server, const char *const *arguments)
{
    int out[2];
    int log = open(server->log, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_true(log >= 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    if (server->ready_fd >= 0) close(server->ready_fd);
    server->pid = kit_launch(arguments, out[1], log);
    server->ready_fd = out[0];
    close(out[1]);
    close(log);
}

static void start(struct kit_server *server, va_list list)
{
    kit_prepare(server);
    const char *arguments[ARGUMENTS_MAX + 1] = {getenv("RASK_BIN"), "run", "--socket", server->socket};
    unsigned count = 4;
    collect(arguments, &count, list);
    kit_start_prepared(server, arguments);
}

void kit_start(struct kit_server *server, ...)
{
    va_list list;
    va_start(list, server);
    start(server, list);
    va_end(list);
    kit_wait_ready(server);
}

void kit_start_only(struct kit_server *server, ...)
{
    va_list list;
    va_start(list, server);
    start(server, list);
    va_end(list);
}

void kit_wait_ready(struct kit_server *server)
{
    char line[160] = "", wanted[160];
    struct pollfd ready = {.fd = server->ready_fd, .events = POLLIN};
    snprintf(wanted, sizeof(wanted), "ready %s\n", server->socket);
    if (poll(&ready, 1, 10000 * (int)patience()) != 1) fail_msg("not ready in time: %s", kit_log(server));
    if (read(server->ready_fd, line, sizeof(line) - 1) <= 0) fail_msg("ended before it was ready: %s", kit_log(server));
    assert_string_equal(line, wanted);
}

void kit_forget(struct kit_server *server)
{
    for (unsigned i = 0; i < SERVERS_MAX; i++)
        if (running[i] == server) running[i] = NULL;
    close(server->ready_fd);
}

void kit_stop(struct kit_server *server)
{
    assert_int_equal(kill(server->pid, SIGTERM), 0);
    int code = kit_wait(server->pid, 8000);
    server->pid = -1;
    if (code != 0) fail_msg("the supervisor ended with %d: %s", code, kit_log(server));
    unlink(server->log);
    assert_int_equal(rmdir(server->folder), 0); /* no socket, no lock */
    kit_forget(server);
}

int kit_ended(struct kit_server *server, unsigned timeout_ms)
{
    int code = kit_wait(server->pid, timeout_ms);
    server->pid = -1;
    kit_forget(server);
    remove_files(server);
    return code;
}

const char *kit_log(const struct kit_server *server)
{
    static char text[16384];
    int fd = open(server->log, O_RDONLY | O_CLOEXEC);
    ssize_t bytes = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;
    if (fd >= 0) close(fd);
    text[bytes > 0 ? bytes : 0] = '\0';
    return text;
}
