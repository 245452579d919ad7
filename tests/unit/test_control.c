/* SPDX-License-Identifier: MIT */
/* Control messages over a real socket pair: what is sent arrives, and whatever a hostile peer sends is refused without
 * leaking a descriptor. */
#include "clock.h"
#include "control.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define SCM_FDS_MAX 253

static int ours, theirs;
static union rk_any_message out, in;
static int fds[RK_MESSAGE_FDS_MAX];
static unsigned fd_count;

static unsigned open_fds(void)
{
    unsigned count = 0;
    DIR *folder = opendir("/proc/self/fd");
    assert_non_null(folder);
    while (readdir(folder)) count++;
    closedir(folder);
    return count;
}

static int set_up(void **state)
{
    int pair[2];
    (void)state;
    memset(&out, 0, sizeof(out));
    memset(&in, 0xee, sizeof(in));
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) return -1;
    ours = pair[0];
    theirs = pair[1];
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    close(ours);
    if (theirs >= 0) close(theirs);
    return 0;
}

static int receive(void)
{
    return rk_control_receive(ours, &in, fds, &fd_count);
}

/* Any bytes with any number of descriptors: what a hostile peer can do. */
static void send_raw(const void *bytes, size_t length, unsigned count)
{
    static union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(SCM_FDS_MAX * sizeof(int))];
    } ancillary;
    struct iovec part = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = length};
    struct msghdr packet = {.msg_iov = &part, .msg_iovlen = 1};
    if (count > 0) {
        packet.msg_control = &ancillary;
        packet.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *rights = CMSG_FIRSTHDR(&packet);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(count * sizeof(int));
        int fd = STDIN_FILENO;
        for (unsigned i = 0; i < count; i++) memcpy(CMSG_DATA(rights) + i * sizeof(int), &fd, sizeof(fd));
    }
    assert_int_equal(sendmsg(theirs, &packet, MSG_NOSIGNAL), (ssize_t)length);
}

/* The least packet of a type: no entries. */
static size_t packet_bytes(uint32_t type)
{
    static const size_t bytes[RK_MESSAGE_TYPE_COUNT] = {
        [RK_HELLO] = sizeof(struct rk_message_hello),
        [RK_ATTACH] = sizeof(struct rk_message),
        [RK_OPEN_LANE] = sizeof(struct rk_message_lane),
        [RK_LANE_CLOSED] = sizeof(struct rk_message_lane),
        [RK_ADOPT] = sizeof(struct rk_message),
        [RK_WELCOME] = sizeof(struct rk_message_welcome),
        [RK_METHODS] = offsetof(struct rk_message_methods, entry),
        [RK_REFUSED] = sizeof(struct rk_message_text),
        [RK_ATTACHED] = sizeof(struct rk_message),
        [RK_LANE] = sizeof(struct rk_message_lane),
        [RK_LANE_GONE] = sizeof(struct rk_message_lane_gone),
        [RK_WORKERS] = sizeof(struct rk_message_workers),
        [RK_ENDED] = sizeof(struct rk_message_text),
        [RK_SESSION] = sizeof(struct rk_message_session),
        [RK_LANE_OPEN] = sizeof(struct rk_message_lane),
        [RK_SESSION_CLOSE] = sizeof(struct rk_message_session_id),
        [RK_STATUS] = sizeof(struct rk_message),
        [RK_READY] = offsetof(struct rk_message_ready, entry),
        [RK_FAILED] = sizeof(struct rk_message_text),
        [RK_LANE_OPENED] = sizeof(struct rk_message_lane),
        [RK_SESSION_BAD] = sizeof(struct rk_message_text),
        [RK_SEGMENT] = sizeof(struct rk_message_segment),
        [RK_SHUTDOWN] = sizeof(struct rk_message),
        [RK_ACK] = sizeof(struct rk_message),
    };
    return bytes[type];
}

static void send_type(uint32_t type, size_t bytes, unsigned count)
{
    rk_message_init(&out.head, (enum rk_message_type)type, bytes);
    send_raw(&out, bytes, count);
}

static void close_received(void)
{
    for (unsigned i = 0; i < fd_count; i++) close(fds[i]);
}

static void test_every_type_arrives_with_its_descriptors(void **state)
{
    (void)state;
    for (uint32_t type = 1; type < RK_MESSAGE_TYPE_COUNT; type++) {
        int give[RK_MESSAGE_FDS_MAX] = {0, 0, 0, 0};
        rk_message_init(&out.head, (enum rk_message_type)type, packet_bytes(type));
        assert_int_equal(rk_control_send(theirs, &out, give, rk_message_fd_count(type)), 0);
        assert_int_equal(receive(), 0);
        assert_int_equal(in.head.type, type);
        assert_int_equal(in.head.bytes, packet_bytes(type));
        assert_int_equal(fd_count, rk_message_fd_count(type));
        for (unsigned i = 0; i < fd_count; i++) assert_int_equal(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
        close_received();
    }
    assert_int_equal(receive(), -EAGAIN);
}

static void test_every_type_refuses_other_lengths(void **state)
{
    (void)state;
    for (uint32_t type = 1; type < RK_MESSAGE_TYPE_COUNT; type++) {
        unsigned count = rk_message_fd_count(type);
        size_t bytes = packet_bytes(type);
        send_type(type, bytes + 8, count);
        assert_int_equal(receive(), -EPROTO);
        if (bytes > sizeof(struct rk_message)) {
            send_type(type, bytes - 1, count);
            assert_int_equal(receive(), -EPROTO);
        }
    }
}

static void test_every_type_refuses_other_descriptor_counts_and_leaks_none(void **state)
{
    (void)state;
    unsigned before = open_fds();
    for (uint32_t type = 1; type < RK_MESSAGE_TYPE_COUNT; type++) {
        for (unsigned count = 0; count <= RK_MESSAGE_FDS_MAX + 1; count++) {
            if (count == rk_message_fd_count(type)) continue;
            send_type(type, packet_bytes(type), count);
            assert_int_equal(receive(), -EPROTO);
            assert_int_equal(fd_count, 0);
        }
    }
    assert_int_equal(open_fds(), before);
}

static void test_flood_of_descriptors_leaks_none(void **state)
{
    (void)state;
    unsigned before = open_fds();
    send_type(RK_HELLO, sizeof(struct rk_message_hello), SCM_FDS_MAX);
    assert_int_equal(receive(), -EPROTO);
    send_type(RK_SEGMENT, sizeof(struct rk_message_segment), SCM_FDS_MAX);
    assert_int_equal(receive(), -EPROTO);
    assert_int_equal(open_fds(), before);
}

static void test_running_out_of_descriptors_leaks_none(void **state)
{
    struct rlimit limit, low;
    (void)state;
    unsigned before = open_fds();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    low = limit;
    int lowest = dup(0);
    assert_true(lowest >= 0);
    close(lowest);
    low.rlim_cur = (rlim_t)lowest + 1; /* room for one of two */
    send_type(RK_ATTACH, sizeof(struct rk_message), 2);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    int result = receive();
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(result, -EPROTO);
    assert_int_equal(open_fds(), before);
}

static void test_garbage_is_refused(void **state)
{
    (void)state;
    unsigned before = open_fds();
    send_raw("GET / HTTP/1.1\r\n\r\n", 18, 3);
    assert_int_equal(receive(), -EPROTO);
    send_raw("x", 1, 1);
    assert_int_equal(receive(), -EPROTO);
    rk_message_init(&out.head, RK_ACK, sizeof(out.head));
    out.head.magic++;
    send_raw(&out, sizeof(out.head), 0);
    assert_int_equal(receive(), -EPROTO);
    assert_int_equal(open_fds(), before);
}

static void test_unknown_types_are_refused(void **state)
{
    (void)state;
    rk_message_init(&out.head, RK_ACK, sizeof(out.head));
    const uint16_t unknown[] = {0, RK_MESSAGE_TYPE_COUNT, 1000, UINT16_MAX};
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        out.head.type = unknown[i];
        send_raw(&out, sizeof(out.head), 0);
        assert_int_equal(receive(), -EPROTO);
        assert_string_equal(rk_message_type_name(unknown[i]), "UNKNOWN");
        assert_int_equal(rk_message_fd_count(unknown[i]), 0);
    }
}

static void test_length_field_must_be_the_length(void **state)
{
    (void)state;
    rk_message_init(&out.head, RK_ACK, sizeof(out.head));
    out.head.bytes = sizeof(out.head) + 1;
    send_raw(&out, sizeof(out.head), 0);
    assert_int_equal(receive(), -EPROTO);
    out.head.bytes = 0;
    send_raw(&out, sizeof(out.head), 0);
    assert_int_equal(receive(), -EPROTO);
}

static void test_packet_longer_than_any_message_is_refused(void **state)
{
    (void)state;
    size_t bytes = sizeof(union rk_any_message) + 64;
    char *packet = calloc(1, bytes);
    assert_non_null(packet);
    rk_message_init(&out.head, RK_READY, sizeof(struct rk_message_ready));
    memcpy(packet, &out.head, sizeof(out.head));
    unsigned before = open_fds();
    send_raw(packet, bytes, 2);
    assert_int_equal(receive(), -EPROTO);
    assert_int_equal(open_fds(), before);
    free(packet);
}

static void test_other_protocol_is_told_apart_and_closed(void **state)
{
    (void)state;
    unsigned before = open_fds();
    rk_message_init(&out.head, RK_REFUSED, sizeof(struct rk_message_text));
    out.head.protocol = RK_PROTOCOL + 1;
    memset(out.text.text, 'x', sizeof(out.text.text));
    send_raw(&out, sizeof(struct rk_message_text), 2);
    assert_int_equal(receive(), -EPROTONOSUPPORT);
    assert_int_equal(in.head.protocol, RK_PROTOCOL + 1);
    assert_int_equal(strlen(in.text.text), sizeof(in.text.text) - 1);
    assert_int_equal(open_fds(), before);
}

static void test_entry_count_must_match_the_length(void **state)
{
    (void)state;
    size_t two = offsetof(struct rk_message_ready, entry) + 2 * sizeof(struct rk_method_entry);
    const uint32_t wrong[] = {0, 1, 3, RASK_METHODS_MAX, RASK_METHODS_MAX + 1, UINT32_MAX, UINT32_MAX / 128 + 3};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        out.ready.method_count = wrong[i];
        send_type(RK_READY, two, 0);
        assert_int_equal(receive(), -EPROTO);
    }
    out.ready.method_count = 2;
    send_type(RK_READY, two, 0);
    assert_int_equal(receive(), 0);
    size_t one = offsetof(struct rk_message_methods, entry) + sizeof(struct rk_method_entry);
    out.methods.count = 2;
    send_type(RK_METHODS, one, 0);
    assert_int_equal(receive(), -EPROTO);
}

static void test_full_table_of_methods_arrives(void **state)
{
    (void)state;
    out.ready.method_count = RASK_METHODS_MAX;
    strcpy(out.ready.entry[RASK_METHODS_MAX - 1].name, "last");
    send_type(RK_READY, sizeof(struct rk_message_ready), 0);
    assert_int_equal(receive(), 0);
    assert_string_equal(in.ready.entry[RASK_METHODS_MAX - 1].name, "last");
}

static void test_strings_are_made_to_end(void **state)
{
    (void)state;
    memset(&out, 'x', sizeof(out));
    send_type(RK_FAILED, sizeof(struct rk_message_text), 0);
    assert_int_equal(receive(), 0);
    assert_int_equal(strlen(in.text.text), sizeof(in.text.text) - 1);
    send_type(RK_HELLO, sizeof(struct rk_message_hello), 0);
    assert_int_equal(receive(), 0);
    assert_int_equal(strlen(in.hello.version), sizeof(in.hello.version) - 1);
    send_type(RK_WELCOME, sizeof(struct rk_message_welcome), 1);
    assert_int_equal(receive(), 0);
    assert_int_equal(strlen(in.welcome.engine), sizeof(in.welcome.engine) - 1);
    assert_int_equal(strlen(in.welcome.plugin_version), sizeof(in.welcome.plugin_version) - 1);
    close_received();
    out.ready.method_count = 1;
    send_type(RK_READY, offsetof(struct rk_message_ready, entry) + sizeof(struct rk_method_entry), 0);
    assert_int_equal(receive(), 0);
    assert_int_equal(strlen(in.ready.entry[0].name), RASK_METHOD_NAME_BYTES_MAX);
    assert_int_equal(strlen(in.ready.entry[0].summary), RASK_METHOD_SUMMARY_BYTES_MAX);
}

static void test_bytes_behind_the_packet_are_cleared(void **state)
{
    (void)state;
    send_type(RK_ACK, sizeof(struct rk_message), 0);
    assert_int_equal(receive(), 0);
    for (size_t i = sizeof(struct rk_message); i < sizeof(in); i++) assert_int_equal(((char *)&in)[i], 0);
}

static void test_closed_peer_is_a_reset(void **state)
{
    (void)state;
    close(theirs);
    theirs = -1;
    assert_int_equal(receive(), -ECONNRESET);
    rk_message_init(&out.head, RK_ACK, sizeof(out.head));
    assert_int_equal(rk_control_send(ours, &out, NULL, 0), -EPIPE);
}

static void test_last_words_are_read_although_the_peer_left_ours_unread(void **state)
{
    (void)state;
    rk_message_init(&out.head, RK_ACK, sizeof(out.head));
    assert_int_equal(rk_control_send(ours, &out, NULL, 0), 0);
    send_type(RK_SHUTDOWN, sizeof(struct rk_message), 0);
    close(theirs);
    theirs = -1;
    assert_int_equal(receive(), 0);
    assert_int_equal(in.head.type, RK_SHUTDOWN);
    assert_int_equal(receive(), -ECONNRESET);
}

static void test_empty_packet_with_descriptors_leaks_none(void **state)
{
    (void)state;
    unsigned before = open_fds();
    send_raw("", 0, 3);
    assert_int_equal(receive(), -ECONNRESET);
    assert_int_equal(open_fds(), before);
}

static void test_send_says_when_the_socket_is_full(void **state)
{
    (void)state;
    int result = 0;
    unsigned sent = 0;
    rk_message_init(&out.head, RK_FAILED, sizeof(struct rk_message_text));
    while (result == 0 && sent < 100000) {
        result = rk_control_send(theirs, &out, NULL, 0);
        sent += result == 0;
    }
    assert_int_equal(result, -EAGAIN);
    for (; sent > 0; sent--) assert_int_equal(receive(), 0);
    assert_int_equal(receive(), -EAGAIN);
    assert_int_equal(rk_control_send(theirs, &out, NULL, 0), 0);
}

static void test_wait_ends_with_a_message_or_in_time(void **state)
{
    (void)state;
    uint64_t start_ns = rask_now_ns();
    assert_int_equal(rk_control_wait(ours, start_ns + 5000000u), -ETIMEDOUT);
    assert_true(rask_now_ns() - start_ns >= 5000000u);
    assert_int_equal(rk_control_wait(ours, 1), -ETIMEDOUT); /* long past */
    send_type(RK_ACK, sizeof(struct rk_message), 0);
    assert_int_equal(rk_control_wait(ours, 0), 0);
    assert_int_equal(receive(), 0);
}

/* Random bytes behind a plausible header: nothing may be accepted that the table does not allow, nothing may leak. The
 * seed is printed and taken back from RASK_TEST_SEED. */
static void test_random_packets_never_leak(void **state)
{
    (void)state;
    const char *given = getenv("RASK_TEST_SEED");
    unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)rask_now_ns();
    print_message("RASK_TEST_SEED=%u\n", seed);
    unsigned before = open_fds();
    for (int i = 0; i < 3000; i++) {
        size_t bytes = 1 + (size_t)rand_r(&seed) % (i % 10 == 0 ? 40000 : 700);
        if (bytes > sizeof(out)) bytes = sizeof(out);
        for (size_t at = 0; at < bytes && at < 700; at++) ((uint8_t *)&out)[at] = (uint8_t)rand_r(&seed);
        if (bytes >= sizeof(out.head) && i % 4 != 0)
            rk_message_init(&out.head, (enum rk_message_type)(rand_r(&seed) % (RK_MESSAGE_TYPE_COUNT + 1)), bytes);
        send_raw(&out, bytes, (unsigned)rand_r(&seed) % 6);
        int result = receive();
        assert_true(result == 0 || result == -EPROTO || result == -EPROTONOSUPPORT);
        if (result == 0) assert_int_equal(fd_count, rk_message_fd_count(in.head.type));
        close_received();
    }
    assert_int_equal(open_fds(), before);
}

static void test_type_names(void **state)
{
    (void)state;
    assert_string_equal(rk_message_type_name(RK_HELLO), "HELLO");
    assert_string_equal(rk_message_type_name(RK_SESSION_BAD), "SESSION_BAD");
}

int main(void)
{
#define WITH_PAIR(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WITH_PAIR(test_every_type_arrives_with_its_descriptors),
        WITH_PAIR(test_every_type_refuses_other_lengths),
        WITH_PAIR(test_every_type_refuses_other_descriptor_counts_and_leaks_none),
        WITH_PAIR(test_flood_of_descriptors_leaks_none),
        WITH_PAIR(test_running_out_of_descriptors_leaks_none),
        WITH_PAIR(test_garbage_is_refused),
        WITH_PAIR(test_unknown_types_are_refused),
        WITH_PAIR(test_length_field_must_be_the_length),
        WITH_PAIR(test_packet_longer_than_any_message_is_refused),
        WITH_PAIR(test_other_protocol_is_told_apart_and_closed),
        WITH_PAIR(test_entry_count_must_match_the_length),
        WITH_PAIR(test_full_table_of_methods_arrives),
        WITH_PAIR(test_strings_are_made_to_end),
        WITH_PAIR(test_bytes_behind_the_packet_are_cleared),
        WITH_PAIR(test_closed_peer_is_a_reset),
        WITH_PAIR(test_last_words_are_read_although_the_peer_left_ours_unread),
        WITH_PAIR(test_empty_packet_with_descriptors_leaks_none),
        WITH_PAIR(test_send_says_when_the_socket_is_full),
        WITH_PAIR(test_wait_ends_with_a_message_or_in_time),
        WITH_PAIR(test_random_packets_never_leak),
        cmocka_unit_test(test_type_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
