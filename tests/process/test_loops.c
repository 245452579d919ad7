/* SPDX-License-Identifier: MIT */
/* The two example servers over loopback:  test_loops PROGRAM. Several connections send chunks of random sizes and expect
 * them back byte for byte; workers die meanwhile; an idle server uses no processor time. */
#include "kit.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS = 12, TOTAL_BYTES = 200000 };

static const char *program;
static struct kit_server server;
static pid_t loop_pid;
static int loop_input;
static uint16_t port;

/** With a pipe as its standard input, or with nothing. */
static void start_loop_with(bool pipe_in)
{
    int in[2] = {-1, -1}, out[2];
    unsigned number = 0;
    if (pipe_in) assert_int_equal(pipe(in), 0);
    if (!pipe_in) in[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(pipe(out), 0);
    loop_pid = kit_fork();
    if (loop_pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        close(in[1]);
        close(out[0]);
        alarm(0);
        execl(program, program, server.socket, (char *)NULL);
        _exit(99);
    }
    close(in[0]);
    close(out[1]);
    FILE *file = fdopen(out[0], "r");
    assert_int_equal(fscanf(file, "port %u", &number), 1);
    fclose(file);
    loop_input = in[1];
    port = (uint16_t)number;
}

static void start_loop(void)
{
    start_loop_with(true);
}

static void stop_loop(void)
{
    close(loop_input);
    assert_int_equal(kit_wait(loop_pid, 5000), 0);
}

static int dial(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

/** As a script starts it in the background: it serves until it is killed. */
static void test_example_loop_needs_no_standard_input(void **state)
{
    char byte = 0;
    (void)state;
    kit_start(&server, "--plugin", "echo", NULL);
    start_loop_with(false);
    int fd = dial();
    assert_int_equal(send(fd, "x", 1, MSG_NOSIGNAL), 1);
    assert_int_equal(recv(fd, &byte, 1, 0), 1);
    assert_int_equal(byte, 'x');
    close(fd);
    kill(loop_pid, SIGTERM);
    assert_int_equal(kit_wait(loop_pid, 5000), -SIGTERM);
    kit_stop(&server);
}

static uint8_t byte_at(unsigned connection, size_t at)
{
    return (uint8_t)((at * 2654435761u >> 13) + connection * 37);
}

struct peer {
    int fd;
    size_t sent, received;
};

static void send_some(struct peer *peer, unsigned index, uint64_t *random)
{
    uint8_t chunk[9000];
    size_t bytes = 1 + kit_random(random, sizeof(chunk));
    if (bytes > TOTAL_BYTES - peer->sent) bytes = TOTAL_BYTES - peer->sent;
    for (size_t i = 0; i < bytes; i++) chunk[i] = byte_at(index, peer->sent + i);
    ssize_t count = send(peer->fd, chunk, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count < 0) assert_int_equal(errno, EAGAIN);
    if (count > 0) peer->sent += (size_t)count;
}

static void receive_some(struct peer *peer, unsigned index, uint64_t *random)
{
    uint8_t chunk[5000];
    ssize_t count = recv(peer->fd, chunk, 1 + kit_random(random, sizeof(chunk)), MSG_DONTWAIT);
    assert_true(count > 0);
    for (ssize_t i = 0; i < count; i++)
        if (chunk[i] != byte_at(index, peer->received + (size_t)i))
            fail_msg("connection %u differs at byte %zu", index, peer->received + (size_t)i);
    peer->received += (size_t)count;
}

static void test_example_loop_echoes_every_byte(void **state)
{
    (void)state;
    struct peer peers[CONNECTIONS];
    struct pollfd looks[CONNECTIONS];
    uint64_t random = kit_seed();
    unsigned left = CONNECTIONS;
    kit_start(&server, "--plugin", "echo", "--workers", "2", NULL);
    start_loop();
    for (unsigned i = 0; i < CONNECTIONS; i++) peers[i] = (struct peer){.fd = dial()};
    while (left > 0) {
        for (unsigned i = 0; i < CONNECTIONS; i++) {
            bool over = peers[i].received == TOTAL_BYTES;
            short events = (short)(POLLIN | (peers[i].sent < TOTAL_BYTES ? POLLOUT : 0));
            looks[i] = (struct pollfd){.fd = over ? -1 : peers[i].fd, .events = events};
        }
        if (poll(looks, CONNECTIONS, 5000) <= 0) fail_msg("nothing for 5 s, %u connections left", left);
        for (unsigned i = 0; i < CONNECTIONS; i++) {
            if (looks[i].revents & POLLOUT) send_some(&peers[i], i, &random);
            if (!(looks[i].revents & POLLIN)) continue;
            receive_some(&peers[i], i, &random);
            if (peers[i].received == TOTAL_BYTES) left--;
        }
    }
    for (unsigned i = 0; i < CONNECTIONS; i++) close(peers[i].fd);
    stop_loop();
    kit_stop(&server);
}

/* One exchange; true: echoed, false: "error: ..." and the end of the connection. */
static bool exchange(int fd)
{
    char answer[256] = {0};
    struct pollfd look = {.fd = fd, .events = POLLIN};
    assert_int_equal(send(fd, "hello", 5, MSG_NOSIGNAL), 5);
    assert_int_equal(poll(&look, 1, 5000), 1);
    ssize_t count = recv(fd, answer, sizeof(answer) - 1, 0);
    if (count == 5 && memcmp(answer, "hello", 5) == 0) return true;
    assert_true(count > 0);
    if (strncmp(answer, "error: ", 7) != 0) fail_msg("answered \"%s\"", answer);
    return false;
}

static void test_example_loop_goes_on_when_workers_die(void **state)
{
    (void)state;
    unsigned good = 0, bad = 0;
    kit_start(&server, "--plugin", "echo", "--workers", "2", NULL);
    kit_wait_children(server.pid, 2);
    start_loop();
    int fd = dial();
    for (unsigned i = 0; i < 400; i++) {
        pid_t workers[2];
        if (i % 100 == 50 && kit_workers(server.pid, workers, 2) > 0) kill(workers[0], SIGKILL);
        if (exchange(fd)) {
            good++;
            continue;
        }
        bad++;
        close(fd);
        fd = dial();
    }
    print_message("%u answered, %u told of an error\n", good, bad);
    assert_true(good > 390);
    close(fd);
    stop_loop();
    kit_stop(&server);
}

static void test_idle_example_loop_uses_no_processor_time(void **state)
{
    (void)state;
    kit_start(&server, "--plugin", "echo", NULL);
    start_loop();
    int fd = dial();
    for (unsigned i = 0; i < 10; i++) assert_true(exchange(fd));
    kit_pause_ms(200);
    uint64_t before_ns = kit_cpu_ns(loop_pid);
    kit_pause_ms(1000);
    uint64_t used_ns = kit_cpu_ns(loop_pid) - before_ns;
    print_message("idle for 1 s: %.3f ms\n", (double)used_ns / 1e6);
    assert_true(used_ns < 3 * KIT_MS);
    close(fd);
    stop_loop();
    kit_stop(&server);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_example_loop_needs_no_standard_input),
        KIT_TEST(test_example_loop_echoes_every_byte),
        KIT_TEST(test_example_loop_goes_on_when_workers_die),
        KIT_TEST(test_idle_example_loop_uses_no_processor_time),
    };
    if (argc != 2) return 99;
    program = argv[1];
    kit_init();
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
