/* SPDX-License-Identifier: MIT */
/* Whom a supervisor and a client refuse, in words: parties of another build, noise, and one too many. */
#include "clock.h"
#include "control.h"
#include "kit.h"
#include "segment.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct kit_server server;

static void receive(int fd, union rk_any_message *message)
{
    int fds[RK_MESSAGE_FDS_MAX];
    unsigned fd_count = 0;
    assert_int_equal(rk_control_wait(fd, rk_deadline_after(3 * KIT_S)), 0);
    rk_control_receive(fd, message, fds, &fd_count);
    for (unsigned i = 0; i < fd_count; i++) close(fds[i]);
}

static void expect_refusal(struct rk_message_hello *hello, const char *said)
{
    static union rk_any_message answer;
    int fd = kit_dial(server.socket);
    assert_int_equal(rk_control_send(fd, hello, NULL, 0), 0);
    receive(fd, &answer);
    assert_int_equal(answer.head.type, RK_REFUSED);
    assert_int_equal(answer.text.reason, RK_REFUSED_VERSION);
    if (!strstr(answer.text.text, said)) fail_msg("\"%s\" is not in: %s", said, answer.text.text);
    close(fd);
}

static struct rk_message_hello hello_of_this_build(void)
{
    struct rk_message_hello hello = {.layout = RK_LAYOUT, .fingerprint = rk_layout_fingerprint(), .version = "0.0.7"};
    rk_message_init(&hello.head, RK_HELLO, sizeof(hello));
    return hello;
}

/** A supervisor of another build: answers HELLO with this. In a child: returns 0 when it was asked. */
static int other_supervisor(int listener, uint32_t fingerprint, uint16_t protocol)
{
    static union rk_any_message asked;
    struct rk_segment control;
    int fds[RK_MESSAGE_FDS_MAX];
    unsigned fd_count;
    struct rk_message_welcome welcome = {
        .layout = RK_LAYOUT, .fingerprint = fingerprint, .workers = 1, .lanes = 3, .version = "0.0.7"};
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0 || rk_control_wait(fd, rk_deadline_after(3 * KIT_S)) != 0) return 1;
    if (rk_control_receive(fd, &asked, fds, &fd_count) != 0 || asked.head.type != RK_HELLO) return 2;
    if (rk_segment_create(&control, RK_SEGMENT_CONTROL, RK_PAGE_BYTES) != 0) return 3;
    rk_message_init(&welcome.head, RK_WELCOME, sizeof(welcome));
    welcome.head.protocol = protocol;
    if (rk_control_send(fd, &welcome, &control.fd, 1) != 0) return 4;
    struct pollfd end = {.fd = fd, .events = POLLIN}; /* until the client has had enough */
    poll(&end, 1, 3000);
    return 0;
}

static void expect_client_refuses(uint32_t fingerprint, uint16_t protocol, const char *said)
{
    struct rask *s = NULL;
    kit_prepare(&server);
    int listener = kit_listen(server.socket);
    for (unsigned i = 0; i < 2; i++) { /* the library, then the command */
        pid_t other = kit_fork();
        if (other == 0) _exit(other_supervisor(listener, fingerprint, protocol));
        if (i == 0) {
            assert_int_equal(rask_connect(&s, server.socket, NULL), -EPROTONOSUPPORT);
            assert_null(s);
            if (!strstr(rask_last_error(), said)) fail_msg("\"%s\" is not in: %s", said, rask_last_error());
        } else {
            const struct kit_result *result = kit_rask("call", "echo", "x", "--socket", server.socket, NULL);
            assert_int_equal(result->code, 76);
            assert_string_equal(result->out, "");
        }
        assert_int_equal(kit_wait(other, 3000), 0);
    }
    close(listener);
    unlink(server.socket);
    assert_int_equal(rmdir(server.folder), 0);
    kit_forget(&server);
}

static void test_attach_refuses_another_fingerprint(void **state)
{
    (void)state;
    kit_start(&server, "--plugin", "echo", NULL);
    struct rk_message_hello hello = hello_of_this_build();
    hello.fingerprint ^= 1;
    expect_refusal(&hello, "0.0.7");
    hello = hello_of_this_build();
    hello.layout++;
    expect_refusal(&hello, "0.0.7");
    hello = hello_of_this_build();
    hello.head.protocol = RK_PROTOCOL + 1;
    expect_refusal(&hello, "protocol");
    rask_close(kit_connect(&server, NULL));
    kit_stop(&server);
    expect_client_refuses(rk_layout_fingerprint() ^ 1, RK_PROTOCOL, "0.0.7");
    expect_client_refuses(rk_layout_fingerprint(), RK_PROTOCOL + 1, "");
}

/** Anything but a message: told why where that is possible, let go, and nobody else notices. */
static void test_garbage_on_the_socket_harms_nobody(void **state)
{
    (void)state;
    uint64_t seed = kit_seed();
    static uint8_t bytes[65536];
    kit_start(&server, "--plugin", "echo", NULL);
    struct rask *s = kit_connect(&server, NULL);
    unsigned descriptors = kit_descriptors(server.pid);
    for (unsigned i = 0; i < 200; i++) {
        size_t length = 1 + kit_random(&seed, i % 10 == 0 ? sizeof(bytes) : 200);
        for (size_t k = 0; k < length; k++) bytes[k] = (uint8_t)kit_random(&seed, 256);
        const struct rk_message head = {.magic = RK_MESSAGE_MAGIC,
                                        .protocol = RK_PROTOCOL,
                                        .type = (uint16_t)(kit_random(&seed, RK_MESSAGE_TYPE_COUNT + 2)),
                                        .bytes = (uint32_t)length};
        if (i % 2 == 0 && length > sizeof(head)) memcpy(bytes, &head, sizeof(head)); /* a good header at least */
        int fd = kit_dial(server.socket);
        send(fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (i % 3 == 0) send(fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
        close(fd);
    }
    struct rask_completion completion;
    assert_int_equal(rask_call(s, 0, "fine", 4, KIT_S, &completion), 0);
    rask_release(s, &completion);
    for (unsigned ms = 0; kit_descriptors(server.pid) != descriptors; ms++) {
        assert_true(ms < 3000);
        kit_pause_ms(1);
    }
    rask_close(s);
    kit_stop(&server);
}

/** Attach until refused: what runs goes on, newcomers hear why, the supervisor does not spin, and afterwards all is as before. */
static void test_out_of_descriptors_refuses_only_newcomers(void **state)
{
    (void)state;
    enum { TRIES = 40 };
    struct rask *sessions[TRIES];
    unsigned count = 0;
    struct rask_completion completion;
    struct rask_options options = RASK_OPTIONS_INIT;
    options.connect_timeout_ns = 500 * KIT_MS;
    kit_prepare(&server);
    const char *const arguments[] = {
        "prlimit", "--nofile=64:64", getenv("RASK_BIN"), "run", "--socket", server.socket, "--plugin", "echo", NULL};
    kit_start_prepared(&server, arguments);
    kit_wait_ready(&server);
    struct rask *s = kit_connect(&server, NULL);
    int error = 0;
    while (error == 0 && count < TRIES) {
        error = rask_connect(&sessions[count], server.socket, &options);
        if (error == 0) count++;
    }
    print_message("%u sessions with 64 descriptors, then: %s\n", count + 1, rask_last_error());
    assert_true(count > 3 && count < TRIES);
    assert_true(error == -EBUSY || error == -ENOMEM || error == -ETIMEDOUT);
    uint64_t cpu_ns = kit_cpu_ns(server.pid);
    kit_pause_ms(300);
    assert_true(kit_cpu_ns(server.pid) - cpu_ns < 100 * KIT_MS);
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(rask_call(s, 0, "on", 2, KIT_S, &completion), 0);
        rask_release(s, &completion);
    }
    while (count > 0) rask_close(sessions[--count]);
    kit_pause_ms(200);
    rask_close(kit_connect(&server, NULL));
    rask_close(s);
    kit_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_attach_refuses_another_fingerprint),
        KIT_TEST(test_garbage_on_the_socket_harms_nobody),
        KIT_TEST(test_out_of_descriptors_refuses_only_newcomers),
    };
    kit_init();
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
