/* SPDX-License-Identifier: MIT */
/* A socket pair with ourselves at both ends, for the tests of control messages: `theirs` may send anything. */
#ifndef CONTROL_PAIR_H
#define CONTROL_PAIR_H

#include "control.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "open_fds.h"

#define SCM_FDS_MAX 253

static int ours, theirs;
static union rk_any_message out, in;
static int fds[RK_MESSAGE_FDS_MAX];
static unsigned fd_count;

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
        [RK_LANE_LEAVING] = sizeof(struct rk_message_lane),
        [RK_RELOADED] = sizeof(struct rk_message_text),
        [RK_RELOAD] = sizeof(struct rk_message_reload),
        [RK_RECYCLE] = sizeof(struct rk_message),
        [RK_LATE] = sizeof(struct rk_message_late),
        [RK_DEATH] = sizeof(struct rk_message_death),
        [RK_POISON] = sizeof(struct rk_message_poison),
        [RK_POISONS] = sizeof(struct rk_message_poisons),
        [RK_POISON_LIST] = sizeof(struct rk_message_poison_list),
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

#define WITH_PAIR(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

#endif
