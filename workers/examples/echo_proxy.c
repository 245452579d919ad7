/* SPDX-License-Identifier: MIT */
/* echo_proxy: an epoll server that answers every chunk of bytes with what another process makes of it.
 *
 *   echo_proxy [SOCKET [METHOD]]      SOCKET of a supervisor, default: the usual one; METHOD, default: echo
 *
 * It listens on 127.0.0.1, prints "port NUMBER", and ends with its standard input, if that is a pipe or a terminal.
 * Each chunk that a connection sends goes through one call; the answer is written back. One thread and one epoll for
 * the listener, the connections and rask_fd().
 *
 * Order and back-pressure: a connection has one call under way at a time and is not read again until its answer is
 * written, so answers keep their order, and a peer that does not read stops only itself. A chunk whose call was certainly not
 * executed is sent again once (executed: no); after any other failure the connection gets "error: ..." and is closed. */
#include <arpa/inet.h>
#include <errno.h>
#include <rask/rask.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK_BYTES 4096
#define CONNECTIONS_MAX 256
#define TIMEOUT_NS 5000000000ull

struct connection {
    int fd; /* -1: free */
    bool calling;
    bool hung_up; /* while calling: freed when the answer comes */
    bool waiting; /* the queue was full: call again later */
    bool retried;
    bool closing;  /* after what is left to write */
    size_t length; /* of the request, kept until its answer came */
    char request[CHUNK_BYTES];
    char answer[CHUNK_BYTES + 128];
    size_t answer_bytes, written;
};

static struct connection connections[CONNECTIONS_MAX];
static struct rask *session;
static uint32_t method;
static int loop, listener;

/* What epoll tells us: which of these, or a connection (numbers from 0). */
enum { LISTENER = CONNECTIONS_MAX, RASK, INPUT };

static void watch(int operation, int fd, uint32_t events, uint32_t who)
{
    struct epoll_event event = {.events = events, .data.u32 = who};
    if (epoll_ctl(loop, operation, fd, &event) != 0) {
        perror("echo_proxy: epoll_ctl");
        exit(EXIT_FAILURE);
    }
}

static void watch_connection(struct connection *c, uint32_t events)
{
    watch(EPOLL_CTL_MOD, c->fd, events, (uint32_t)(c - connections));
}

/* A call that is under way still refers to the connection: then it is kept until the answer is there. */
static void hang_up(struct connection *c)
{
    if (c->calling) {
        c->hung_up = true;
        watch(EPOLL_CTL_DEL, c->fd, 0, 0);
        return;
    }
    close(c->fd);
    c->fd = -1;
}

static void write_answer(struct connection *c)
{
    while (c->written < c->answer_bytes) {
        ssize_t count = send(c->fd, c->answer + c->written, c->answer_bytes - c->written, MSG_NOSIGNAL);
        if (count < 0 && errno == EAGAIN) return watch_connection(c, EPOLLOUT); /* the rest later */
        if (count < 0) return hang_up(c);
        c->written += (size_t)count;
    }
    if (c->closing) return hang_up(c);
    watch_connection(c, EPOLLIN); /* ready for the next chunk */
}

static void fail(struct connection *c, const char *why)
{
    c->answer_bytes = (size_t)snprintf(c->answer, sizeof(c->answer), "error: %s\n", why);
    c->written = 0;
    c->closing = true;
    write_answer(c);
}

/* The connection's chunk becomes a request. A full queue is not an error: there are answers to come that make room. */
static void call(struct connection *c)
{
    struct rask_request request = {.user_data = (uint64_t)(c - connections)};
    struct rask_request_options options = RASK_REQUEST_OPTIONS_INIT;
    int error = rask_reserve(session, c->length, &request);
    c->waiting = error == -EAGAIN;
    if (c->waiting) return;
    if (error == 0) {
        request.user_data = (uint64_t)(c - connections); /* comes back with the answer */
        memcpy(request.data, c->request, c->length);
        options.deadline_ns = rask_now_ns() + TIMEOUT_NS;
        error = rask_submit(session, &request, method, c->length, &options);
        if (error != 0) rask_abandon(session, &request);
    }
    if (error != 0) return fail(c, rask_strerror(error));
    c->calling = true;
}

static void read_chunk(struct connection *c)
{
    ssize_t count = recv(c->fd, c->request, sizeof(c->request), 0);
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0) return hang_up(c);
    watch_connection(c, 0); /* no more until this one is answered */
    c->length = (size_t)count;
    c->retried = false;
    call(c);
}

static void on_answer(const struct rask_completion *done)
{
    struct connection *c = &connections[done->user_data];
    c->calling = false;
    if (c->hung_up) return hang_up(c);
    if (done->status == RASK_OK && done->length <= CHUNK_BYTES) {
        memcpy(c->answer, done->data, done->length);
        c->answer_bytes = done->length;
        c->written = 0;
        return write_answer(c);
    }
    if (done->executed == RASK_EXECUTED_NO && !c->retried) {
        c->retried = true;
        return call(c);
    }
    fail(c, done->status == RASK_OK ? "the answer is too long" : rask_status_text(done->status));
}

/* rask_fd() is readable: take everything; then there may be room for those who wait. */
static void on_rask(void)
{
    struct rask_completion done[32];
    int count;
    while ((count = rask_poll(session, done, 32)) > 0) {
        for (int i = 0; i < count; i++) {
            on_answer(&done[i]);
            rask_release(session, &done[i]);
        }
    }
    for (unsigned i = 0; i < CONNECTIONS_MAX; i++)
        if (connections[i].fd >= 0 && connections[i].waiting) call(&connections[i]);
}

static void on_connection(struct connection *c, uint32_t events)
{
    if (events & EPOLLIN)
        read_chunk(c);
    else if (events & EPOLLOUT)
        write_answer(c);
    else
        hang_up(c); /* EPOLLERR, EPOLLHUP */
}

static void accept_connection(void)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
        if (connections[i].fd >= 0) continue;
        connections[i] = (struct connection){.fd = fd};
        return watch(EPOLL_CTL_ADD, fd, EPOLLIN, i);
    }
    close(fd); /* full */
}

static void listen_on_loopback(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(address);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, bytes) != 0 || listen(listener, 64) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &bytes) != 0) {
        perror("echo_proxy: listen");
        exit(EXIT_FAILURE);
    }
    printf("port %u\n", ntohs(address.sin_port));
    fflush(stdout);
}

static void connect_session(int argc, char **argv)
{
    int error = rask_connect(&session, argc > 1 ? argv[1] : NULL, NULL);
    int id = error == 0 ? rask_method(session, argc > 2 ? argv[2] : "echo") : error;
    int fd = id >= 0 ? rask_fd(session) : id;
    if (fd < 0) {
        fprintf(stderr, "echo_proxy: %s: %s\n", rask_strerror(fd), rask_last_error());
        exit(EXIT_FAILURE);
    }
    method = (uint32_t)id;
    watch(EPOLL_CTL_ADD, fd, EPOLLIN, RASK);
}

/* /dev/null and files are at their end from the start: a server in the background goes on. */
static bool input_can_end(void)
{
    struct stat facts;
    return fstat(STDIN_FILENO, &facts) == 0 && (S_ISFIFO(facts.st_mode) || isatty(STDIN_FILENO));
}

int main(int argc, char **argv)
{
    struct epoll_event events[64];
    for (unsigned i = 0; i < CONNECTIONS_MAX; i++) connections[i].fd = -1;
    loop = epoll_create1(EPOLL_CLOEXEC);
    connect_session(argc, argv);
    listen_on_loopback();
    watch(EPOLL_CTL_ADD, listener, EPOLLIN, LISTENER);
    if (input_can_end()) watch(EPOLL_CTL_ADD, STDIN_FILENO, EPOLLIN, INPUT);
    for (;;) {
        int count = epoll_wait(loop, events, 64, -1);
        if (count < 0 && errno != EINTR) break;
        for (int i = 0; i < count; i++) {
            uint32_t who = events[i].data.u32;
            char byte;
            if (who == INPUT) {
                if (read(STDIN_FILENO, &byte, 1) <= 0) return rask_close(session), EXIT_SUCCESS;
            } else if (who == LISTENER) {
                accept_connection();
            } else if (who == RASK) {
                on_rask();
            } else if (connections[who].fd >= 0 && !connections[who].hung_up) {
                on_connection(&connections[who], events[i].events);
            }
        }
    }
    perror("echo_proxy: epoll_wait");
    return EXIT_FAILURE;
}
