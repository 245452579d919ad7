/* SPDX-License-Identifier: MIT */
/* Control messages of a hostile peer: whatever it sends is refused, and no descriptor of it stays open. */
#include "clock.h"
#include "control_pair.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>

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

/* Receive with numbers left for so many descriptors. None may stay open. */
static int receive_with_room_for(unsigned room)
{
    struct rlimit limit, low;
    unsigned before = open_fds();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    low = limit;
    int lowest = dup(0);
    assert_true(lowest >= 0);
    close(lowest);
    low.rlim_cur = (rlim_t)lowest + room;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    int result = receive();
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(fd_count, 0);
    assert_int_equal(open_fds(), before);
    return result;
}

static void test_running_out_of_descriptors_is_told_apart_and_leaks_none(void **state)
{
    (void)state;
    for (unsigned room = 0; room < 2; room++) {
        send_type(RK_ATTACH, sizeof(struct rk_message), 2);
        assert_int_equal(receive_with_room_for(room), -EMFILE);
        assert_int_equal(in.head.type, RK_ATTACH);
    }
    out.lane.session = 77;
    send_type(RK_LANE_OPENED, sizeof(struct rk_message_lane), 1);
    assert_int_equal(receive_with_room_for(0), -EMFILE);
    assert_int_equal(in.head.type, RK_LANE_OPENED);
    assert_int_equal(in.lane.session, 77); /* what it was about is known */
}

static void test_too_many_descriptors_are_the_senders_fault_even_when_they_do_not_fit(void **state)
{
    (void)state;
    send_type(RK_ATTACH, sizeof(struct rk_message), 4);
    assert_int_equal(receive_with_room_for(2), -EPROTO);
    send_type(RK_SEGMENT, sizeof(struct rk_message_segment), SCM_FDS_MAX);
    assert_int_equal(receive_with_room_for(100), -EPROTO);
    send_type(RK_ACK, sizeof(struct rk_message), 1); /* carries none */
    assert_int_equal(receive_with_room_for(0), -EPROTO);
    send_type(RK_SEGMENT, sizeof(struct rk_message_segment) - 8, 1); /* too short */
    assert_int_equal(receive_with_room_for(0), -EPROTO);
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

static void test_empty_packet_with_descriptors_leaks_none(void **state)
{
    (void)state;
    unsigned before = open_fds();
    send_raw("", 0, 3);
    assert_int_equal(receive(), -ECONNRESET);
    assert_int_equal(open_fds(), before);
}

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_PAIR(test_every_type_refuses_other_lengths),
        WITH_PAIR(test_every_type_refuses_other_descriptor_counts_and_leaks_none),
        WITH_PAIR(test_flood_of_descriptors_leaks_none),
        WITH_PAIR(test_running_out_of_descriptors_is_told_apart_and_leaks_none),
        WITH_PAIR(test_too_many_descriptors_are_the_senders_fault_even_when_they_do_not_fit),
        WITH_PAIR(test_garbage_is_refused),
        WITH_PAIR(test_unknown_types_are_refused),
        WITH_PAIR(test_length_field_must_be_the_length),
        WITH_PAIR(test_packet_longer_than_any_message_is_refused),
        WITH_PAIR(test_entry_count_must_match_the_length),
        WITH_PAIR(test_empty_packet_with_descriptors_leaks_none),
        WITH_PAIR(test_random_packets_never_leak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
