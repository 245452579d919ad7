/* SPDX-License-Identifier: MIT */
/* The stand-in supervisor of pool.h: one thread, poll(2), one session. */
#include "pool.h"
#include "bell.h"
#include "control.h"
#include "segment.h"
#include "session.h"
#include "worker.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WORKERS_MAX 8u
#define EXTRA_MAX 64u

struct member {
    struct pool *pool;
    pthread_t thread;
    int ours;   /* supervisor's end */
    int theirs; /* worker's end */
    int word_fd;
    struct rk_segment word;
    struct rk_segment status; /* under the pool's lock */
    bool knows_session;
};

struct pool {
    const struct rask_plugin *plugin;
    uint32_t workers;
    uint32_t wait_mode;
    struct member member[WORKERS_MAX];
    struct rask *session;
    pthread_t thread;
    pthread_mutex_t lock;
    int client; /* supervisor's end */
    int stop_pipe[2];
    struct rk_segment client_word;
    struct rk_segment bells;
    struct rk_params params;
    int request_fd;
    int bell_fd;
    struct rk_message_segment extra[EXTRA_MAX];
    int extra_fd[EXTRA_MAX];
    uint32_t extra_count;
};

#define MUST(condition)                                                      \
    do {                                                                     \
        if (!(condition)) {                                                  \
            fprintf(stderr, "pool.c:%d: %s failed\n", __LINE__, #condition); \
            abort();                                                         \
        }                                                                    \
    } while (0)

static uint32_t *word_of(struct rk_segment *segment)
{
    return &((struct rk_control_page *)segment->base)->word;
}

static void to_worker(struct member *member, const void *message, const int *fds, unsigned fd_count)
{
    while (rk_control_send(member->ours, message, fds, fd_count) == -EAGAIN) usleep(100);
    rk_bell_ring(word_of(&member->word));
}

static void to_client(struct pool *pool, const void *message, const int *fds, unsigned fd_count)
{
    while (rk_control_send(pool->client, message, fds, fd_count) == -EAGAIN) usleep(100);
    if (pool->bells.base == NULL) return;
    rk_fetch_add(word_of(&pool->client_word), 1u);
    rk_bell_ring(&((struct rk_bell_page *)pool->bells.base)->client.word);
}

static void welcome(struct pool *pool, const struct rk_message_hello *hello)
{
    pool->params = hello->params;
    pool->params.lanes = pool->workers + 2;
    struct rk_message_welcome message = {
        .layout = RK_LAYOUT,
        .fingerprint = rk_layout_fingerprint(),
        .flags = rk_membarrier_register() ? RK_PEER_MEMBARRIER : 0,
        .session = 7,
        .workers = pool->workers,
        .lanes = pool->params.lanes,
        .worker_wait_mode = pool->wait_mode,
        .method_count = pool->plugin->method_count,
        .engine = "none",
    };
    rk_message_init(&message.head, RK_WELCOME, sizeof message);
    to_client(pool, &message, &pool->client_word.fd, 1);
    static struct rk_message_methods methods;
    memset(&methods, 0, sizeof methods);
    methods.count = pool->plugin->method_count;
    for (uint32_t i = 0; i < methods.count; i++)
        snprintf(methods.entry[i].name, sizeof methods.entry[i].name, "%s", pool->plugin->methods[i].name);
    rk_message_init(&methods.head, RK_METHODS,
                    offsetof(struct rk_message_methods, entry) + methods.count * sizeof methods.entry[0]);
    to_client(pool, &methods, NULL, 0);
}

static void attach(struct pool *pool, const int *fds)
{
    pool->request_fd = fds[0];
    pool->bell_fd = dup(fds[1]);
    MUST(rk_segment_map(&pool->bells, fds[1], RK_SEGMENT_BELL, rk_bell_segment_bytes(&pool->params), false) == 0);
    struct rk_message attached;
    rk_message_init(&attached, RK_ATTACHED, sizeof attached);
    to_client(pool, &attached, NULL, 0);
    struct rk_message_workers serving = {.count = pool->workers, .serving = {(1ull << pool->workers) - 1}};
    rk_message_init(&serving.head, RK_WORKERS, sizeof serving);
    to_client(pool, &serving, NULL, 0);
}

static void open_lane(struct pool *pool, const struct rk_message_lane *asked)
{
    struct member *member = &pool->member[asked->worker];
    if (!member->knows_session) {
        struct rk_message_session session = {.session = 7, .flags = RK_PEER_MEMBARRIER, .params = pool->params};
        if (!rk_membarrier_register()) session.flags = 0;
        rk_message_init(&session.head, RK_SESSION, sizeof session);
        const int fds[2] = {pool->request_fd, pool->bell_fd};
        to_worker(member, &session, fds, 2);
        for (uint32_t i = 0; i < pool->extra_count; i++) to_worker(member, &pool->extra[i], &pool->extra_fd[i], 1);
        member->knows_session = true;
    }
    struct rk_message_lane message = *asked;
    message.session = 7;
    rk_message_init(&message.head, RK_LANE_OPEN, sizeof message);
    to_worker(member, &message, NULL, 0);
}

static void from_client(struct pool *pool)
{
    static union rk_any_message message;
    int fds[RK_MESSAGE_FDS_MAX];
    unsigned fd_count;
    if (rk_control_receive(pool->client, &message, fds, &fd_count) != 0) return;
    switch (message.head.type) {
    case RK_HELLO:
        welcome(pool, &message.hello);
        break;
    case RK_ATTACH:
        attach(pool, fds);
        break;
    case RK_OPEN_LANE:
        open_lane(pool, &message.lane);
        break;
    case RK_SEGMENT:
        MUST(pool->extra_count < EXTRA_MAX);
        message.segment.session = 7;
        for (uint32_t i = 0; i < pool->workers; i++)
            if (pool->member[i].knows_session) to_worker(&pool->member[i], &message.segment, fds, 1);
        pool->extra[pool->extra_count] = message.segment;
        pool->extra_fd[pool->extra_count++] = fds[0];
        break;
    default:
        break;
    }
}

static void from_worker(struct pool *pool, struct member *member)
{
    static union rk_any_message message;
    int fds[RK_MESSAGE_FDS_MAX];
    unsigned fd_count;
    if (rk_control_receive(member->ours, &message, fds, &fd_count) != 0) return;
    if (message.head.type == RK_LANE_OPENED) {
        rk_message_init(&message.head, RK_LANE, sizeof message.lane);
        int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
        const int pair[2] = {fds[0], pidfd};
        to_client(pool, &message.lane, pair, 2);
        close(pidfd);
    } else if (message.head.type == RK_SEGMENT) {
        to_client(pool, &message.segment, fds, 1);
    } else if (message.head.type == RK_STATUS) {
        pthread_mutex_lock(&pool->lock);
        MUST(rk_segment_map(&member->status, fds[0], RK_SEGMENT_STATUS, RK_PAGE_BYTES, false) == 0);
        pthread_mutex_unlock(&pool->lock);
        fd_count = 0;
    } else if (message.head.type == RK_SESSION_BAD) {
        fprintf(stderr, "pool: session rejected: %s\n", message.text.text);
    }
    for (unsigned i = 0; i < fd_count; i++) close(fds[i]);
}

static void *supervise(void *argument)
{
    struct pool *pool = argument;
    for (;;) {
        struct pollfd fds[2 + WORKERS_MAX] = {{.fd = pool->stop_pipe[0], .events = POLLIN},
                                              {.fd = pool->client, .events = POLLIN}};
        for (uint32_t i = 0; i < pool->workers; i++)
            fds[2 + i] = (struct pollfd){.fd = pool->member[i].ours, .events = POLLIN};
        poll(fds, 2 + pool->workers, -1);
        if (fds[0].revents != 0) return NULL;
        if (fds[1].revents & POLLIN) from_client(pool);
        for (uint32_t i = 0; i < pool->workers; i++)
            if (fds[2 + i].revents & POLLIN) from_worker(pool, &pool->member[i]);
    }
}

static void *work(void *argument)
{
    struct member *member = argument;
    struct pool *pool = member->pool;
    struct rk_worker_config config = {
        .index = (uint32_t)(member - pool->member),
        .generation = 1,
        .wait_mode = pool->wait_mode,
        .parties = pool->workers + 1,
        .control_fd = member->theirs,
        .control_word_fd = member->word_fd,
        .membarrier = rk_membarrier_register(),
        .caller_timeout_ns = RASK_CALLER_TIMEOUT_NS_DEFAULT,
    };
    struct rk_worker *worker;
    MUST(rk_worker_create(&worker, &config) == 0);
    MUST(rk_worker_open(worker, pool->plugin) == 0);
    MUST(rk_worker_serve(worker) == 0);
    rk_worker_destroy(worker);
    return NULL;
}

static void make_socket(int *ours, int *theirs)
{
    int pair[2];
    MUST(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
    *ours = pair[0];
    *theirs = pair[1];
}

struct pool *pool_start(const struct rask_plugin *plugin, uint32_t workers, uint32_t wait_mode,
                        const struct rask_options *options)
{
    struct pool *pool = calloc(1, sizeof *pool);
    MUST(pool != NULL && workers >= 1 && workers <= WORKERS_MAX);
    pool->plugin = plugin;
    pool->workers = workers;
    pool->wait_mode = wait_mode;
    pool->bells = (struct rk_segment)RK_SEGMENT_INIT;
    MUST(pthread_mutex_init(&pool->lock, NULL) == 0);
    MUST(pipe(pool->stop_pipe) == 0);
    MUST(rk_segment_create(&pool->client_word, RK_SEGMENT_CONTROL, RK_PAGE_BYTES) == 0);
    for (uint32_t i = 0; i < workers; i++) {
        struct member *member = &pool->member[i];
        member->pool = pool;
        member->status = (struct rk_segment)RK_SEGMENT_INIT;
        make_socket(&member->ours, &member->theirs);
        MUST(rk_segment_create(&member->word, RK_SEGMENT_CONTROL, RK_PAGE_BYTES) == 0);
        member->word_fd = dup(member->word.fd);
        MUST(pthread_create(&member->thread, NULL, work, member) == 0);
    }
    int client_end;
    make_socket(&pool->client, &client_end);
    MUST(pthread_create(&pool->thread, NULL, supervise, pool) == 0);
    MUST(rk_session_create(&pool->session, options) == 0);
    MUST(rk_session_attach(pool->session, client_end, 0) == 0);
    return pool;
}

struct rask *pool_session(struct pool *pool)
{
    return pool->session;
}

struct pool_figures pool_figures(struct pool *pool)
{
    struct pool_figures sum = {0};
    pthread_mutex_lock(&pool->lock);
    for (uint32_t i = 0; i < pool->workers; i++) {
        const struct rk_status_page *page = pool->member[i].status.base;
        if (page == NULL) continue;
        sum.parks += rk_load_relaxed(&page->parks);
        sum.rescues += rk_load_relaxed(&page->rescues);
        sum.bad_peer += rk_load_relaxed(&page->bad_peer);
    }
    pthread_mutex_unlock(&pool->lock);
    return sum;
}

void pool_stop(struct pool *pool)
{
    struct rk_message shutdown_message;
    rk_message_init(&shutdown_message, RK_SHUTDOWN, sizeof shutdown_message);
    MUST(write(pool->stop_pipe[1], "x", 1) == 1);
    pthread_join(pool->thread, NULL);
    for (uint32_t i = 0; i < pool->workers; i++) {
        struct member *member = &pool->member[i];
        to_worker(member, &shutdown_message, NULL, 0);
        pthread_join(member->thread, NULL);
        close(member->ours);
        close(member->theirs);
        rk_segment_finish(&member->word);
        rk_segment_finish(&member->status);
    }
    rask_close(pool->session);
    close(pool->client);
    close(pool->request_fd);
    close(pool->bell_fd);
    for (uint32_t i = 0; i < pool->extra_count; i++) close(pool->extra_fd[i]);
    rk_segment_finish(&pool->client_word);
    rk_segment_finish(&pool->bells);
    close(pool->stop_pipe[0]);
    close(pool->stop_pipe[1]);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}
