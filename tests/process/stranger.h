/* SPDX-License-Identifier: MIT */
/* Children that run as another user, and a client by hand for them. Nothing in here asserts: a child reports by its exit code,
 * 0 for "as it should be", else the number of the step. */
#ifndef RK_TEST_STRANGER_H
#define RK_TEST_STRANGER_H

#include "bell.h"
#include "clock.h"
#include "control.h"
#include "kit.h"
#include "segment.h"
#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Numbers that no account needs to have. */
#define STRANGER 65534u
#define SECOND_STRANGER 424242u
#define STRANGERS "--allow-uid", "65534", "--allow-uid", "424242"

#define NEEDS_ROOT()                                                                  \
    do {                                                                              \
        if (geteuid() != 0) {                                                         \
            print_message("skipped: only root can start a client as another user\n"); \
            skip();                                                                   \
        }                                                                             \
    } while (0)

/** kit_fork(), and the child is this user from then on. `gid` is a supplementary group, its own is its uid's number. */
static inline pid_t fork_as(uid_t uid, gid_t gid)
{
    pid_t pid = kit_fork();
    if (pid != 0) return pid;
    if (setgroups(1, &gid) != 0 || setresgid(uid, uid, uid) != 0 || setresuid(uid, uid, uid) != 0) _exit(90);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* changing the user has cleared it */
    return 0;
}

struct raw {
    int socket;
    uint32_t session;
    struct rk_params params;
    struct rk_segment request;
    struct rk_segment bell;
    union rk_any_message in;
};
#define RAW_INIT                                                                        \
    {                                                                                   \
        .socket = -1, .request = RK_SEGMENT_INIT, .bell = RK_SEGMENT_INIT /* nothing */ \
    }

static inline int raw_dial(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t bytes = strlen(path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0 || bytes >= sizeof(address.sun_path)) return -1;
    memcpy(address.sun_path, path, bytes);
    for (unsigned tries = 0; tries < 2000; tries++) { /* the backlog may be full */
        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0) return fd;
        if (errno != EAGAIN) break;
        kit_pause_ms(1);
    }
    close(fd);
    return -1;
}

/** Type of the next message, whose descriptors are closed; 0: none came in time, or the end. */
static inline uint32_t raw_next(struct raw *raw, uint64_t patience_ns)
{
    int fds[RK_MESSAGE_FDS_MAX];
    unsigned count = 0;
    if (rk_control_wait(raw->socket, rk_deadline_after(patience_ns)) != 0) return 0;
    if (rk_control_receive(raw->socket, &raw->in, fds, &count) != 0) return 0;
    for (unsigned i = 0; i < count; i++) close(fds[i]);
    return raw->in.head.type;
}

/** Skip what comes in between. */
static inline bool raw_expect(struct raw *raw, uint32_t type)
{
    uint64_t end_ns = rask_now_ns() + 5 * KIT_S;
    uint32_t got = 1;
    while (got != 0 && rask_now_ns() < end_ns)
        if ((got = raw_next(raw, 5 * KIT_S)) == type) return true;
    return false;
}

static inline int raw_send(struct raw *raw, enum rk_message_type type, const int *fds, unsigned count)
{
    struct rk_message message;
    rk_message_init(&message, type, sizeof(message));
    return rk_control_send(raw->socket, &message, fds, count);
}

static inline int raw_send_lane(struct raw *raw, enum rk_message_type type, uint32_t lane, uint32_t worker)
{
    struct rk_message_lane message = {.session = raw->session, .lane = lane, .worker = worker};
    rk_message_init(&message.head, type, sizeof(message));
    return rk_control_send(raw->socket, &message, NULL, 0);
}

/** Connect and say HELLO. */
static inline bool raw_hello(struct raw *raw, const char *path)
{
    struct rk_message_hello hello = {
        .layout = RK_LAYOUT,
        .fingerprint = rk_layout_fingerprint(),
        .params = {.ring_slots = 64, .payload_bytes_max = 4096, .slab_bytes = 65536, .slab_bytes_max = 1u << 20},
    };
    raw->params = hello.params;
    raw->request = raw->bell = (struct rk_segment)RK_SEGMENT_INIT;
    raw->socket = raw_dial(path);
    rk_message_init(&hello.head, RK_HELLO, sizeof(hello));
    return raw->socket >= 0 && rk_control_send(raw->socket, &hello, NULL, 0) == 0;
}

/** And read what comes back. */
static inline bool raw_welcome(struct raw *raw, const char *path)
{
    if (!raw_hello(raw, path) || !raw_expect(raw, RK_WELCOME)) return false;
    raw->session = raw->in.welcome.session;
    raw->params.lanes = raw->in.welcome.lanes;
    return raw_expect(raw, RK_METHODS);
}

static inline bool raw_make_segments(struct raw *raw)
{
    return rk_segment_create(&raw->request, RK_SEGMENT_REQUEST, rk_request_segment_bytes(&raw->params)) == 0 &&
           rk_segment_create(&raw->bell, RK_SEGMENT_BELL, rk_bell_segment_bytes(&raw->params)) == 0;
}

static inline bool raw_attach(struct raw *raw, const char *path)
{
    if (!raw_welcome(raw, path) || !raw_make_segments(raw)) return false;
    const int fds[] = {raw->request.fd, raw->bell.fd};
    return raw_send(raw, RK_ATTACH, fds, 2) == 0 && raw_expect(raw, RK_ATTACHED);
}

static inline void raw_close(struct raw *raw)
{
    if (raw->socket >= 0) close(raw->socket);
    raw->socket = -1;
    rk_segment_finish(&raw->request);
    rk_segment_finish(&raw->bell);
}

#endif
