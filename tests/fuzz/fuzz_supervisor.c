/* SPDX-License-Identifier: MIT */
/* What two clients and a worker can say to the supervisor, in any order and with any descriptors. The supervisor is the real
 * one but for its processes: the worker is this program, and nobody is killed. */
#include "clock.h"
#include "control.h"
#include "fuzz.h"
#include "segment.h"
#include "supervisor_state.h"
#include <errno.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define PARTIES 3u /* two clients, then the worker */
#define KINDS 6u

int __wrap_kill(pid_t pid, int number);
int __wrap_rk_member_process_start(struct rk_member *member);
void __wrap_rk_supervisor_log(struct rk_supervisor *of, int level, uint32_t worker, const char *event,
                              const char *format, ...);

int __wrap_kill(pid_t pid, int number)
{
    (void)pid;
    (void)number;
    return 0;
}

/* Restarts and reloads get no further. */
int __wrap_rk_member_process_start(struct rk_member *member)
{
    (void)member;
    return -EAGAIN;
}

void __wrap_rk_supervisor_log(struct rk_supervisor *of, int level, uint32_t worker, const char *event,
                              const char *format, ...)
{
    (void)of;
    (void)level;
    (void)worker;
    (void)event;
    (void)format;
}

static const struct rk_params params = {
    .ring_slots = 64, .payload_bytes_max = 4096, .slab_bytes = 65536, .slab_bytes_max = 1u << 20};
static const struct rk_supervisor_config config = {.private_fd = -1,
                                                   .workers = 1,
                                                   .wait_mode = RASK_WAIT_HYBRID,
                                                   .engine = RK_ENGINE_CLASSIC,
                                                   .quota = RK_QUOTA_CONFIG_INIT};
static struct rk_supervisor supervisor;
static int theirs[PARTIES];
static char plugin[64];  /* a file that a reload may read */
static int kinds[KINDS]; /* descriptors to send: one of each segment, and something else */

static void on_member(void *user)
{
    rk_member_receive(user, RK_ROUND_MESSAGES_MAX);
}

static const struct rk_peer_calls member_calls = {.readable = on_member};

static int pair_of(unsigned party)
{
    int pair[2];
    FUZZ_CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0, "a pair can be made");
    theirs[party] = pair[1];
    return pair[0];
}

static void make_kinds(void)
{
    static struct rk_segment segment[KINDS];
    struct rk_params full = params;
    if (kinds[0] > 0) return;
    full.lanes = 3;
    rk_segment_create(&segment[0], RK_SEGMENT_REQUEST, rk_request_segment_bytes(&full));
    rk_segment_create(&segment[1], RK_SEGMENT_BELL, rk_bell_segment_bytes(&full));
    rk_segment_create(&segment[2], RK_SEGMENT_RESPONSE, rk_response_segment_bytes(&full));
    rk_segment_create(&segment[3], RK_SEGMENT_RESPONSE_EXTRA, 69632);
    rk_segment_create(&segment[4], RK_SEGMENT_STATUS, RK_PAGE_BYTES);
    for (unsigned i = 0; i + 1 < KINDS; i++) kinds[i] = segment[i].fd;
    kinds[KINDS - 1] = eventfd(0, EFD_CLOEXEC);
    int file = memfd_create("plugin", MFD_CLOEXEC);
    FUZZ_CHECK(write(file, "no plugin", 9) == 9, "there is a file");
    snprintf(plugin, sizeof(plugin), "/proc/self/fd/%d", file);
}

static void stop(void *user)
{
    rk_reactor_stop(user);
}

/** Everything that waits is dealt with. */
static void turn(void)
{
    static struct rk_timer timer;
    rk_timer_start(supervisor.reactor, &timer, rask_now_ns() + 1, stop, supervisor.reactor);
    rk_reactor_run(supervisor.reactor);
    for (unsigned i = 0; i < PARTIES; i++) {
        static union rk_any_message message;
        int fds[RK_MESSAGE_FDS_MAX];
        unsigned count;
        while (rk_control_receive(theirs[i], &message, fds, &count) == 0)
            for (unsigned k = 0; k < count; k++) close(fds[k]);
    }
}

static void start(void)
{
    supervisor = (struct rk_supervisor){.config = &config,
                                        .listener = RK_LISTENER_INIT,
                                        .board = RK_SEGMENT_INIT,
                                        .signal_fd = -1,
                                        .lanes = 3,
                                        .ever_ready = true};
    supervisor.phase = RK_PHASE_SERVING;
    supervisor.plugin.method_count = 1;
    snprintf(supervisor.plugin.entry[0].name, sizeof(supervisor.plugin.entry[0].name), "m");
    FUZZ_CHECK(rk_reactor_create(&supervisor.reactor, RK_ENGINE_CLASSIC, NULL, 0) == 0, "there is a reactor");
    FUZZ_CHECK(rk_pool_create(&supervisor) == 0, "there is a pool");
    struct rk_load_error error;
    FUZZ_CHECK(rk_generation_create(&supervisor.generation, plugin, 1, &error) == 0, "there is a plugin");
    struct rk_member *member = rk_holder(&supervisor, 0);
    member->plugin = rk_generation_use(supervisor.generation);
    member->pid = 1;
    member->generation = 1;
    member->policy.state = RK_WORKER_SERVING;
    member->pidfd = rk_fd_create(eventfd(0, EFD_CLOEXEC));
    FUZZ_CHECK(rk_peer_open(&member->peer, supervisor.reactor, pair_of(2), &member_calls, member) == 0, "a worker");
    for (unsigned i = 0; i < 2; i++) rk_client_accept(&supervisor, pair_of(i));
}

static void finish(void)
{
    while (supervisor.clients) rk_client_destroy(supervisor.clients);
    rk_pool_destroy(&supervisor);
    rk_timer_stop(supervisor.reactor, &supervisor.end_timer);
    rk_timer_stop(supervisor.reactor, &supervisor.recycle_timer);
    rk_timer_stop(supervisor.reactor, &supervisor.burial);
    rk_reactor_destroy(supervisor.reactor);
    for (unsigned i = 0; i < PARTIES; i++) close(theirs[i]);
}

static size_t length_of(uint32_t type)
{
    switch (type) {
    case RK_HELLO:
        return sizeof(struct rk_message_hello);
    case RK_OPEN_LANE:
    case RK_LANE_CLOSED:
    case RK_LANE_OPENED:
        return sizeof(struct rk_message_lane);
    case RK_SEGMENT:
        return sizeof(struct rk_message_segment);
    case RK_FAILED:
    case RK_SESSION_BAD:
        return sizeof(struct rk_message_text);
    case RK_READY:
        return offsetof(struct rk_message_ready, entry) + sizeof(struct rk_method_entry);
    case RK_RELOAD:
        return sizeof(struct rk_message_reload);
    default:
        return sizeof(struct rk_message);
    }
}

/** Fields small enough to hit something. */
static void fill(union rk_any_message *message, uint32_t type, struct fuzz_input *in)
{
    memset(message, 0, sizeof(*message));
    if (type == RK_HELLO) {
        message->hello.layout = RK_LAYOUT;
        message->hello.fingerprint = rk_layout_fingerprint();
        message->hello.params = params;
        if (fuzz_byte(in) & 1) fuzz_bytes(in, &message->hello.params, sizeof(params));
        return;
    }
    uint32_t *words = (uint32_t *)(void *)((uint8_t *)message + sizeof(message->head));
    for (size_t i = 0; i < 6 && sizeof(message->head) + 4 * i < length_of(type); i++) {
        uint8_t small = fuzz_byte(in);
        words[i] = small < 250 ? small % 8 : fuzz_word(in);
    }
    if (type == RK_RELOAD) snprintf(message->reload.path, sizeof(message->reload.path), "%s", plugin);
    if (type == RK_RELOAD && words[0] % 4 == 0) fuzz_bytes(in, message->reload.path, sizeof(message->reload.path));
    if (type == RK_SEGMENT) message->segment.kind = 2 + 2 * (message->segment.kind % 2);
    if (type == RK_SEGMENT && message->segment.bytes % 2) message->segment.bytes = 69632;
    if (type == RK_READY) message->ready.method_count = 1;
}

static void one_packet(struct fuzz_input *in)
{
    static const uint8_t types[] = {RK_HELLO,       RK_ATTACH,   RK_OPEN_LANE,   RK_LANE_CLOSED, RK_ADOPT,
                                    RK_SEGMENT,     RK_ACK,      RK_STATUS,      RK_READY,       RK_FAILED,
                                    RK_LANE_OPENED, RK_SHUTDOWN, RK_SESSION_BAD, RK_RELOAD,      RK_RECYCLE};
    static union rk_any_message message;
    uint8_t what = fuzz_byte(in), which = fuzz_byte(in);
    uint32_t type = types[what / PARTIES % sizeof types];
    int socket = theirs[what % PARTIES];
    fill(&message, type, in);
    rk_message_init(&message.head, (enum rk_message_type)type, length_of(type));
    const int fds[2] = {kinds[which < 128 && type == RK_ATTACH ? 0 : which % KINDS],
                        kinds[which < 128 && type == RK_ATTACH ? 1 : which / KINDS % KINDS]};
    rk_control_send(socket, &message, fds, rk_message_fd_count(type));
    turn();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, size};
    make_kinds();
    int lowest = fuzz_lowest_fd();
    start();
    for (unsigned i = 0; i < 64 && in.left > 0; i++) one_packet(&in);
    finish();
    FUZZ_CHECK(fuzz_lowest_fd() == lowest, "every descriptor is closed");
    return 0;
}
