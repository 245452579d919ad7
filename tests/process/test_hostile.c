/* SPDX-License-Identifier: MIT */
/* A client of another user does its worst: descriptors of every wrong kind, garbage in its rings, floods, ends at any moment.
 * Each time it hears why or is let go, the supervisor has as many descriptors afterwards as before, no worker is lost, and
 * two sessions beside it, one of them of a third user, see no error. */
#include "stranger.h"
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

static struct kit_server server;
static struct kit_ledger ledger;
static struct rask *neighbour;
static pid_t workers[3];
static pid_t third; /* calls all the time, ends with an exit code on the first error */

static int call_until_told(void)
{
    struct rask *s = NULL;
    struct rask_completion completion;
    uint8_t data[600];
    if (rask_connect(&s, server.socket, NULL) != 0) return 1;
    int method = rask_method(s, "ok");
    for (uint32_t number = LEDGER_NUMBERS / 2; getppid() != 1; number++) {
        uint32_t bytes = 8 + number % 592;
        kit_fill(data, number % (LEDGER_NUMBERS / 2) + LEDGER_NUMBERS / 2, 0, bytes);
        if (rask_call(s, (uint32_t)method, data, bytes, 10 * KIT_S, &completion) != 0) return 2;
        if (completion.status != RASK_OK || completion.length != bytes) return 3;
        rask_release(s, &completion);
    }
    return 0;
}

static unsigned workers_now(pid_t *pids)
{
    return kit_workers(server.pid, pids, 3);
}

static void start(void)
{
    kit_ledger_open(&ledger);
    kit_start(&server, "--plugin", kit_plugin("ledger"), "--set", ledger.setting, "--workers", "2", STRANGERS, NULL);
    kit_wait_children(server.pid, 2);
    assert_int_equal(workers_now(workers), 2);
    neighbour = kit_connect(&server, NULL);
    kit_call_ok(neighbour, &ledger, 64);
    third = fork_as(SECOND_STRANGER, SECOND_STRANGER);
    if (third == 0) _exit(call_until_told());
    kit_pause_ms(100);
}

/** The attacker is at work or just was: everybody else is well. */
static void see_that_all_is_well(void)
{
    pid_t now[3];
    for (unsigned i = 0; i < 200; i++) kit_call_ok(neighbour, &ledger, 8 + i * 13);
    assert_int_equal(workers_now(now), 2);
    assert_memory_equal(now, workers, 2 * sizeof(pid_t));
    assert_int_equal(kill(third, 0), 0);
    struct rask_info info = {.size = sizeof(info)};
    assert_int_equal(rask_info(neighbour, &info), 0);
    assert_int_equal(info.rescues, 0);
}

static unsigned descriptors_of_all(void)
{
    return kit_descriptors(server.pid) + kit_descriptors(workers[0]) + kit_descriptors(workers[1]);
}

/** Without those that are just on their way somewhere. */
static unsigned descriptors_at_rest(void)
{
    unsigned count = descriptors_of_all();
    for (unsigned same = 0; same < 20; same++) {
        kit_pause_ms(5);
        unsigned now = descriptors_of_all();
        if (now != count) same = 0;
        count = now;
    }
    return count;
}

static void attack(int (*attacker)(uint64_t seed))
{
    uint64_t seed = kit_seed();
    start();
    see_that_all_is_well();
    unsigned before = descriptors_at_rest(), mapped = kit_mappings(server.pid);
    pid_t pid = fork_as(STRANGER, STRANGER);
    if (pid == 0) _exit(attacker(seed));
    for (unsigned i = 0; i < 20; i++) see_that_all_is_well();
    int code = kit_wait(pid, 15000);
    if (code != 0) fail_msg("step %d of the attack did not go as it should", code);
    see_that_all_is_well();
    for (unsigned ms = 0; descriptors_of_all() != before || kit_mappings(server.pid) != mapped; ms++) {
        if (ms > 3000) fail_msg("%u descriptors instead of %u", descriptors_of_all(), before);
        kit_pause_ms(1);
    }
    kill(third, SIGKILL);
    assert_int_equal(kit_wait(third, 1000), -SIGKILL); /* and not an exit code: no call of its failed */
    rask_close(neighbour);
    kit_stop(&server);
    kit_ledger_close(&ledger);
}

/* ---- descriptors of every wrong kind (fault 13) -------------------------------------------------------------------- */

static int sealed(uint64_t bytes, bool allocated, int seals)
{
    int fd = memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || ftruncate(fd, (off_t)bytes) != 0) return -1;
    if (allocated && posix_fallocate(fd, 0, (off_t)bytes) != 0) return -1;
    return fcntl(fd, F_ADD_SEALS, seals) == 0 ? fd : -1;
}

/** In place of the request segment; -1: this kind cannot be had here. */
static int wrong_fd(unsigned kind, const struct raw *raw)
{
    enum { ALL = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | F_SEAL_FUTURE_WRITE };
    uint64_t bytes = rk_request_segment_bytes(&raw->params);
    char path[] = "/tmp/rask-hostile-XXXXXX";
    int fd;
    switch (kind) {
    case 0: /* a regular file, of the right size */
        fd = mkstemp(path);
        unlink(path);
        return fd >= 0 && posix_fallocate(fd, 0, (off_t)bytes) == 0 ? fd : -1;
    case 1:
        return open("/dev/null", O_RDWR | O_CLOEXEC);
    case 2:
        return open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    case 3:
        return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    case 4: /* not sealed */
        return sealed(bytes, true, F_SEAL_SHRINK);
    case 5: /* can be written by others, too */
        return sealed(bytes, true, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    case 6: /* short */
        return sealed(bytes - RK_PAGE_BYTES, true, ALL);
    case 7: /* holed */
        return sealed(bytes, false, ALL);
    case 8: /* huge, and all hole */
        return sealed(1ull << 40, false, ALL);
    case 9: /* another segment's kind */
        return dup(raw->bell.fd);
    default:
        return -2;
    }
}

static int try_wrong_fd(unsigned kind, bool as_bell)
{
    struct raw raw = RAW_INIT;
    if (!raw_welcome(&raw, server.socket) || !raw_make_segments(&raw)) return 1;
    int fd = wrong_fd(kind, &raw);
    if (fd == -2) return -2;
    if (fd < 0) return 2;
    const int fds[] = {as_bell ? raw.request.fd : fd, as_bell ? fd : raw.bell.fd};
    if (raw_send(&raw, RK_ATTACH, fds, 2) != 0) return 3;
    close(fd);
    bool same = as_bell && kind == 9; /* that is right */
    if (!raw_expect(&raw, same ? RK_ATTACHED : RK_REFUSED)) return 4;
    if (!same && (raw.in.text.reason != RK_REFUSED_PROTOCOL || raw.in.text.text[0] == '\0')) return 5;
    raw_close(&raw);
    return 0;
}

/** More, fewer, or far too many descriptors with a message. */
static int try_fd_count(unsigned count)
{
    struct raw raw = RAW_INIT;
    struct rk_message attach;
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(253 * sizeof(int))];
    } ancillary = {0};
    if (!raw_welcome(&raw, server.socket) || !raw_make_segments(&raw)) return 1;
    rk_message_init(&attach, RK_ATTACH, sizeof(attach));
    struct iovec part = {.iov_base = &attach, .iov_len = sizeof(attach)};
    struct msghdr packet = {.msg_iov = &part, .msg_iovlen = 1};
    if (count > 0) {
        packet.msg_control = &ancillary;
        packet.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *rights = CMSG_FIRSTHDR(&packet);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(count * sizeof(int));
        for (unsigned i = 0; i < count; i++) memcpy(CMSG_DATA(rights) + i * sizeof(int), &raw.request.fd, sizeof(int));
    }
    if (sendmsg(raw.socket, &packet, MSG_NOSIGNAL) < 0) return 2;
    if (!raw_expect(&raw, RK_REFUSED)) return 3;
    raw_close(&raw);
    return 0;
}

static int hand_over_wrong_descriptors(uint64_t seed)
{
    static const unsigned counts[] = {0, 1, 3, 4, 5, 64, 253};
    (void)seed;
    int result = 0;
    for (unsigned kind = 0; result >= 0; kind++)
        for (unsigned as_bell = 0; as_bell < 2; as_bell++)
            if ((result = try_wrong_fd(kind, as_bell)) > 0) return (int)(10 * (kind + 1)) + result;
    for (unsigned i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
        if ((result = try_fd_count(counts[i])) > 0) return 200 + result;
    return 0;
}

static void test_wrong_descriptors_are_refused_in_words(void **state)
{
    (void)state;
    NEEDS_ROOT();
    attack(hand_over_wrong_descriptors);
}

/* ---- garbage in its own memory (faults 11, 15) ---------------------------------------------------------------------- */

/** Over everything that it may write, bells included, with the sequence of the next request sometimes right. */
static void scribble(struct raw *raw, uint64_t *seed, uint64_t end_ns)
{
    uint64_t *request = raw->request.base;
    uint32_t *bell = raw->bell.base;
    uint64_t words = raw->request.bytes / sizeof(*request), bells = raw->bell.bytes / sizeof(*bell);
    struct rk_bell_page *page = raw->bell.base;
    uint8_t *ring = (uint8_t *)raw->request.base + rk_request_lane_offset(&raw->params, 0) + RK_PAGE_BYTES;
    while (rask_now_ns() < end_ns) {
        for (unsigned i = 0; i < 200; i++) {
            request[kit_random(seed, words)] =
                kit_random(seed, 2) ? kit_random(seed, UINT64_MAX) : kit_random(seed, 70);
            bell[kit_random(seed, bells)] = (uint32_t)kit_random(seed, UINT32_MAX);
        }
        struct rk_request_slot *slot = (struct rk_request_slot *)(void *)ring;
        slot->kind = RK_REQUEST_CALL;
        slot->length = (uint32_t)kit_random(seed, 5000);
        slot->method = 0;
        __atomic_store_n(&slot->sequence, 1, __ATOMIC_RELEASE);
        for (unsigned i = 0; i < raw->params.lanes; i++) rk_bell_ring(&page->lane[i].word);
    }
}

static int scribble_over_everything(uint64_t seed)
{
    for (unsigned round = 0; round < 12; round++) {
        struct raw raw = RAW_INIT;
        if (!raw_attach(&raw, server.socket)) return 1;
        for (uint32_t lane = 0; lane < 2; lane++)
            if (raw_send_lane(&raw, RK_OPEN_LANE, lane, lane) != 0) return 2;
        if (!raw_expect(&raw, RK_LANE)) return 3;
        raw_send(&raw, RK_ACK, NULL, 0);
        scribble(&raw, &seed, rask_now_ns() + 60 * KIT_MS);
        raw_close(&raw);
    }
    return 0;
}

static void test_scribbling_over_its_own_memory_hurts_only_itself(void **state)
{
    (void)state;
    NEEDS_ROOT();
    attack(scribble_over_everything);
}

/** Everything that the kernel lets it do with the words that workers sleep on: wakes without end, sleepers sent elsewhere, waits of
 * its own in between. */
static void abuse(uint32_t *word, uint32_t *elsewhere, uint64_t choice)
{
    const struct timespec moment = {.tv_nsec = 100000};
    uint32_t now = __atomic_load_n(word, __ATOMIC_RELAXED);
    void *many = (void *)(intptr_t)INT_MAX; /* how many are sent elsewhere */
    if (choice == 0) rk_bell_ring(word);
    if (choice == 1) syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    if (choice == 2) syscall(SYS_futex, word, FUTEX_REQUEUE, 0, many, elsewhere, 0);
    if (choice == 3) syscall(SYS_futex, word, FUTEX_CMP_REQUEUE, 1, many, elsewhere, now);
    if (choice == 4) syscall(SYS_futex, word, FUTEX_WAIT, now, &moment, NULL, 0);
    if (choice == 5)
        syscall(SYS_futex, elsewhere, FUTEX_WAKE_OP, 1, many, word, FUTEX_OP(FUTEX_OP_SET, 7, FUTEX_OP_CMP_NE, 7));
    if (choice == 6) syscall(SYS_futex, word, FUTEX_LOCK_PI, 0, &moment, NULL, 0);
}

static int abuse_bells(uint64_t seed)
{
    struct raw raw = RAW_INIT;
    uint64_t end_ns = rask_now_ns() + 1500 * KIT_MS;
    if (!raw_attach(&raw, server.socket)) return 1;
    for (uint32_t lane = 0; lane < 2; lane++)
        if (raw_send_lane(&raw, RK_OPEN_LANE, lane, lane) != 0) return 2;
    if (!raw_expect(&raw, RK_LANE)) return 3;
    raw_send(&raw, RK_ACK, NULL, 0);
    struct rk_bell_page *page = raw.bell.base;
    while (rask_now_ns() < end_ns)
        for (unsigned i = 0; i < 100; i++)
            abuse(&page->lane[kit_random(&seed, 2)].word, &page->client.word, kit_random(&seed, 7));
    raw_close(&raw);
    return 0;
}

static void test_abuse_of_bells_hurts_only_itself(void **state)
{
    (void)state;
    NEEDS_ROOT();
    attack(abuse_bells);
}

/* ---- floods and ends at any moment (faults 4, 10, 25) ----------------------------------------------------------------- */

static int send_anything(struct raw *raw, uint64_t *seed)
{
    union rk_any_message message;
    int fds[2] = {raw->request.fd, raw->bell.fd};
    uint64_t *words = (uint64_t *)(void *)&message;
    for (unsigned i = 0; i < 64; i++)
        words[i] = kit_random(seed, 4) ? kit_random(seed, 6) : kit_random(seed, UINT64_MAX);
    static const uint32_t types[] = {RK_HELLO,    RK_ATTACH,      RK_OPEN_LANE,   RK_LANE_CLOSED,  RK_ADOPT, RK_SEGMENT,
                                     RK_ACK,      RK_WELCOME,     RK_READY,       RK_STATUS,       RK_LANE,  RK_SESSION,
                                     RK_SHUTDOWN, RK_LANE_OPENED, RK_SESSION_BAD, RK_SESSION_CLOSE};
    uint32_t type = types[kit_random(seed, sizeof(types) / sizeof(types[0]))];
    size_t bytes = type == RK_HELLO                                 ? sizeof(message.hello)
                   : type == RK_SEGMENT                             ? sizeof(message.segment)
                   : type == RK_OPEN_LANE || type == RK_LANE_CLOSED ? sizeof(message.lane)
                                                                    : sizeof(message.head);
    unsigned count = rk_message_fd_count(type);
    rk_message_init(&message.head, type, bytes);
    if (kit_random(seed, 3) > 0) message.lane.session = raw->session;
    return rk_control_send(raw->socket, &message, fds, count < 2 ? count : 2);
}

/** Everything it can say, as fast as it can, without ever reading; each time until it is let go or has had enough. */
static int flood(uint64_t seed)
{
    uint64_t end_ns = rask_now_ns() + 1500 * KIT_MS;
    for (unsigned round = 0; rask_now_ns() < end_ns; round++) {
        struct raw raw = RAW_INIT;
        bool good = round % 3 == 0 ? raw_attach(&raw, server.socket) : raw_hello(&raw, server.socket);
        if (!good) return 1;
        for (unsigned i = 0; i < 2000; i++) {
            int result = round % 3 == 0 && i % 2 == 0 ? raw_send_lane(&raw, RK_OPEN_LANE, i % 4, i % 2)
                                                      : send_anything(&raw, &seed);
            if (result == -EPIPE || result == -ECONNRESET) break;
        }
        raw_close(&raw);
    }
    return 0;
}

static void test_flood_of_messages_hurts_only_itself(void **state)
{
    (void)state;
    NEEDS_ROOT();
    attack(flood);
}

/** Ends after each step of attaching and of opening lanes. */
static int end_at_every_step(uint64_t seed)
{
    for (unsigned round = 0; round < 60; round++) {
        struct raw raw = RAW_INIT;
        unsigned steps = round % 7;
        bool good = steps == 0   ? (raw.socket = raw_dial(server.socket)) >= 0
                    : steps == 1 ? raw_hello(&raw, server.socket)
                    : steps == 2 ? raw_welcome(&raw, server.socket)
                                 : raw_attach(&raw, server.socket);
        if (!good) return 1 + (int)steps;
        if (steps > 3 && raw_send_lane(&raw, RK_OPEN_LANE, 0, round % 2) != 0) return 20;
        if (steps > 4 && !raw_expect(&raw, RK_LANE)) return 21;
        if (steps > 5 && raw_send(&raw, RK_ACK, NULL, 0) != 0) return 22;
        if (kit_random(&seed, 2)) kit_pause_ms((unsigned)kit_random(&seed, 5));
        raw_close(&raw);
    }
    return 0;
}

static void test_ends_at_every_step_leave_nothing(void **state)
{
    (void)state;
    NEEDS_ROOT();
    attack(end_at_every_step);
}

/** A connection that it has elsewhere is not the supervisor's: a stranger may hand none over. */
static int hand_over_a_connection(uint64_t seed)
{
    struct raw raw = RAW_INIT;
    int pair[2];
    (void)seed;
    if (!raw_attach(&raw, server.socket)) return 1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) return 2;
    if (raw_send(&raw, RK_ADOPT, &pair[1], 1) != 0) return 3;
    close(pair[1]);
    if (!raw_expect(&raw, RK_ENDED) || !strstr(raw.in.text.text, "user 65534")) return 4;
    char byte;
    if (recv(pair[0], &byte, 1, 0) != 0) return 5; /* its other end is closed */
    close(pair[0]);
    raw_close(&raw);
    return 0;
}

static void test_stranger_may_not_hand_connections_over(void **state)
{
    (void)state;
    NEEDS_ROOT();
    attack(hand_over_a_connection);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_wrong_descriptors_are_refused_in_words),
        KIT_TEST(test_scribbling_over_its_own_memory_hurts_only_itself),
        KIT_TEST(test_abuse_of_bells_hurts_only_itself),
        KIT_TEST(test_flood_of_messages_hurts_only_itself),
        KIT_TEST(test_ends_at_every_step_leave_nothing),
        KIT_TEST(test_stranger_may_not_hand_connections_over),
    };
    kit_init();
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
