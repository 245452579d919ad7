/* SPDX-License-Identifier: MIT */
/* uring_loop: TCP connections and calls to another process, served by one thread from one io_uring.
 *
 *   uring_loop [SOCKET [METHOD]]      SOCKET of a supervisor, default: the usual one; METHOD, default: echo
 *
 * It listens on 127.0.0.1, prints "port NUMBER", and ends with its standard input, if that is a pipe or a terminal.
 * Each chunk that a connection sends goes through one call; the answer is sent back. accept, recv, send and the wait
 * for rask (rask_prep_wait()) are entries of the same ring, so one system call submits all and waits for all.
 *
 * A connection has one operation under way at a time: recv, then a call, then send. So answers keep their order, and a peer
 * that does not read stops only itself. A failed call is answered with "error: ..." and the connection is closed. */
#include <arpa/inet.h>
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <rask/rask.h>
#include <rask/uring.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK_BYTES 4096
#define CONNECTIONS_MAX 256
#define TIMEOUT_NS 5000000000ull

struct connection {
    int fd; /* -1: free */
    bool sending;
    bool waiting; /* the queue was full: call again later */
    bool closing; /* after what is left to send */
    size_t length, sent;
    char chunk[CHUNK_BYTES + 128]; /* the request, then the answer */
};

static struct connection connections[CONNECTIONS_MAX];
static struct io_uring ring;
static struct rask *session;
static uint32_t method;
static int listener;
static bool wait_under_way;

/* Whose completion is it: one of these, or a connection's (numbers from 0). */
enum { ACCEPT = CONNECTIONS_MAX, RASK, INPUT };

static void die(const char *what, int error)
{
    fprintf(stderr, "uring_loop: %s: %s\n", what, strerror(-error));
    exit(EXIT_FAILURE);
}

/* Never NULL: a full queue is handed to the kernel, and then it is empty. */
static struct io_uring_sqe *entry(void)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    if (sqe == NULL) {
        io_uring_submit(&ring);
        sqe = io_uring_get_sqe(&ring);
    }
    if (sqe == NULL) die("no entry", -EBUSY);
    return sqe;
}

static void start_accept(void)
{
    struct io_uring_sqe *sqe = entry();
    io_uring_prep_accept(sqe, listener, NULL, NULL, SOCK_CLOEXEC);
    sqe->user_data = ACCEPT;
}

static void start_receive(struct connection *c)
{
    struct io_uring_sqe *sqe = entry();
    c->sending = false;
    io_uring_prep_recv(sqe, c->fd, c->chunk, CHUNK_BYTES, 0);
    sqe->user_data = (uint64_t)(c - connections);
}

static void start_send(struct connection *c)
{
    struct io_uring_sqe *sqe = entry();
    c->sending = true;
    io_uring_prep_send(sqe, c->fd, c->chunk + c->sent, c->length - c->sent, MSG_NOSIGNAL);
    sqe->user_data = (uint64_t)(c - connections);
}

/* The one thing that is special about rask: its wait is an entry like the others. Whether it waits or completes at once
 * because something is there already makes no difference to us. */
static void start_wait(void)
{
    struct io_uring_sqe *sqe = entry();
    int result = rask_prep_wait(session, sqe);
    if (result < 0) {
        fprintf(stderr, "uring_loop: %s: %s\n", rask_strerror(result), rask_last_error());
        exit(EXIT_FAILURE);
    }
    sqe->user_data = RASK; /* after rask_prep_wait() */
    wait_under_way = true;
}

static void hang_up(struct connection *c)
{
    close(c->fd);
    c->fd = -1;
}

static void fail(struct connection *c, const char *why)
{
    c->length = (size_t)snprintf(c->chunk, sizeof(c->chunk), "error: %s\n", why);
    c->sent = 0;
    c->closing = true;
    start_send(c);
}

static void call(struct connection *c)
{
    struct rask_request request;
    struct rask_request_options options = RASK_REQUEST_OPTIONS_INIT;
    int error = rask_reserve(session, c->length, &request);
    c->waiting = error == -EAGAIN;
    if (c->waiting) return; /* answers to come make room */
    if (error == 0) {
        request.user_data = (uint64_t)(c - connections); /* comes back with the answer */
        memcpy(request.data, c->chunk, c->length);
        options.deadline_ns = rask_now_ns() + TIMEOUT_NS;
        error = rask_submit(session, &request, method, c->length, &options);
        if (error != 0) rask_abandon(session, &request);
    }
    if (error != 0) fail(c, rask_strerror(error));
}

static void on_answer(const struct rask_completion *done)
{
    struct connection *c = &connections[done->user_data];
    if (done->status != RASK_OK || done->length > CHUNK_BYTES)
        return fail(c, done->status == RASK_OK ? "the answer is too long" : rask_status_text(done->status));
    memcpy(c->chunk, done->data, done->length);
    c->length = done->length;
    c->sent = 0;
    if (c->length > 0)
        start_send(c);
    else
        start_receive(c);
}

static void take_answers(void)
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

static void on_connection(struct connection *c, int result)
{
    if (result <= 0) return hang_up(c); /* end, or an error of the network */
    if (!c->sending) {
        c->length = (size_t)result;
        return call(c);
    }
    c->sent += (size_t)result;
    if (c->sent < c->length)
        start_send(c);
    else if (c->closing)
        hang_up(c);
    else
        start_receive(c);
}

static void on_accept(int fd)
{
    start_accept();
    if (fd < 0) return;
    for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
        if (connections[i].fd >= 0) continue;
        connections[i] = (struct connection){.fd = fd};
        return start_receive(&connections[i]);
    }
    close(fd); /* full */
}

static void listen_on_loopback(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(address);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, bytes) != 0 || listen(listener, 64) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &bytes) != 0)
        die("listen", -errno);
    printf("port %u\n", ntohs(address.sin_port));
    fflush(stdout);
}

/* Submit what was prepared and wait for one completion, but not past the time at which rask wants to be polled. */
static void submit_and_wait(void)
{
    uint64_t limit_ns = rask_next_deadline_ns(session), now_ns = rask_now_ns();
    uint64_t left_ns = limit_ns > now_ns ? limit_ns - now_ns : 0;
    struct __kernel_timespec left = {.tv_sec = (long long)(left_ns / 1000000000u),
                                     .tv_nsec = (long long)(left_ns % 1000000000u)};
    struct io_uring_cqe *first;
    int result = io_uring_submit_and_wait_timeout(&ring, &first, 1, limit_ns != 0 ? &left : NULL, NULL);
    if (result < 0 && result != -ETIME && result != -EINTR && result != -EBUSY) die("io_uring_enter", result);
    if (result == -ETIME) take_answers();
}

/* False: standard input ended. */
static bool on_completion(uint64_t who, int result)
{
    if (who == INPUT) return false;
    if (who == ACCEPT)
        on_accept(result);
    else if (who == RASK)
        wait_under_way = false; /* whatever the result: look, and wait anew */
    else if (who < CONNECTIONS_MAX)
        on_connection(&connections[who], result);
    if (who == RASK) take_answers();
    return true;
}

/* /dev/null and files are at their end from the start: a server in the background goes on. */
static bool input_can_end(void)
{
    struct stat facts;
    return fstat(STDIN_FILENO, &facts) == 0 && (S_ISFIFO(facts.st_mode) || isatty(STDIN_FILENO));
}

static void watch_input(void)
{
    struct io_uring_sqe *input = entry();
    io_uring_prep_poll_add(input, STDIN_FILENO, POLLIN);
    input->user_data = INPUT;
}

int main(int argc, char **argv)
{
    for (unsigned i = 0; i < CONNECTIONS_MAX; i++) connections[i].fd = -1;
    int result = io_uring_queue_init(512, &ring, 0);
    if (result < 0) die("io_uring_queue_init", result);
    result = rask_connect(&session, argc > 1 ? argv[1] : NULL, NULL);
    int id = result == 0 ? rask_method(session, argc > 2 ? argv[2] : "echo") : result;
    if (id < 0) {
        fprintf(stderr, "uring_loop: %s: %s\n", rask_strerror(id), rask_last_error());
        return EXIT_FAILURE;
    }
    method = (uint32_t)id;
    listen_on_loopback();
    start_accept();
    if (input_can_end()) watch_input();
    for (bool go_on = true; go_on;) {
        struct io_uring_cqe *cqe;
        if (!wait_under_way) start_wait();
        submit_and_wait();
        while (go_on && io_uring_peek_cqe(&ring, &cqe) == 0) {
            uint64_t who = cqe->user_data;
            result = cqe->res;
            io_uring_cqe_seen(&ring, cqe); /* its place is free before we prepare more */
            go_on = on_completion(who, result);
        }
    }
    io_uring_queue_exit(&ring);
    rask_close(session);
    return EXIT_SUCCESS;
}
