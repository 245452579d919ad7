/* SPDX-License-Identifier: MIT */
/* Who can be measured, and what each needs. Waiting like for like: what spins is compared with rask spinning, what sleeps
 * with rask parked (and hybrid, which is its default). */
#include "contest.h"
#include "runner_node.h"
#include "runner_wire.h"
#include <errno.h>
#include <limits.h>
#include <rask/client.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SPIN (1u << RK_CONTEST_SPIN)
#define PARK (1u << RK_CONTEST_PARK)
#define HELLO (1u << RK_CONTEST_HELLO)
#define MODES                                            \
    {                                                    \
        RASK_WAIT_SPIN, RASK_WAIT_PARK, RASK_WAIT_HYBRID \
    }
#define HYBRIDS                                              \
    {                                                        \
        RASK_WAIT_HYBRID, RASK_WAIT_HYBRID, RASK_WAIT_HYBRID \
    }
#define SPINS                                          \
    {                                                  \
        RASK_WAIT_SPIN, RASK_WAIT_SPIN, RASK_WAIT_SPIN \
    }
#define PARKS                                          \
    {                                                  \
        RASK_WAIT_PARK, RASK_WAIT_PARK, RASK_WAIT_PARK \
    }
#define BUILT_IN .kind = &rk_runner_wire, .wire
#define COPY_BYTES_MIN (64u << 10)

/* In the order in which they are measured. The first of a kind is what others are compared with. */
const struct rk_peer rk_peers[] = {
    {"rask", "rask", RK_PEER_RASK, SPIN | PARK, MODES, BUILT_IN = &rk_wire_rask},
    {"rask hybrid", "rask", RK_PEER_RASK, PARK, HYBRIDS, BUILT_IN = &rk_wire_rask},
    {"rask hello", "rask", RK_PEER_RASK, HELLO, HYBRIDS, BUILT_IN = &rk_wire_rask_hello},
    {"rask hello, spin", "rask", RK_PEER_RASK, HELLO, SPINS, BUILT_IN = &rk_wire_rask_hello},
    {"rask hello, park", "rask", RK_PEER_RASK, HELLO, PARKS, BUILT_IN = &rk_wire_rask_hello},
    {"floor: bare line", "floor", RK_PEER_FLOOR, SPIN, MODES, BUILT_IN = &rk_wire_line, .one_depth = true},
    {"floor: bare ring", "floor", RK_PEER_FLOOR, SPIN, MODES, BUILT_IN = &rk_wire_ring},
    {"floor: bare line, pause", "floor", RK_PEER_FLOOR, SPIN, MODES, BUILT_IN = &rk_wire_line_pause, .one_depth = true},
    {"floor: bare ring, pause", "floor", RK_PEER_FLOOR, SPIN, MODES, BUILT_IN = &rk_wire_ring_pause},
    {"floor: bare futex", "floor", RK_PEER_FLOOR, PARK, MODES, .kind = &rk_runner_futex, .one_depth = true},
    {"floor: memcpy, one process", "floor", RK_PEER_FLOOR, SPIN, MODES, BUILT_IN = &rk_wire_memory,
     .bytes_min = COPY_BYTES_MIN, .one_depth = true},
    {"pipe", "pipe", RK_PEER_OTHER, SPIN | PARK, MODES, BUILT_IN = &rk_wire_pipe},
    {"socketpair stream", "stream", RK_PEER_OTHER, SPIN | PARK, MODES, BUILT_IN = &rk_wire_stream},
    {"socketpair seqpacket", "seqpacket", RK_PEER_OTHER, SPIN | PARK, MODES, BUILT_IN = &rk_wire_seqpacket},
    {"eventfd + shared memory", "eventfd", RK_PEER_OTHER, PARK, MODES, BUILT_IN = &rk_wire_eventfd},
    {"POSIX message queue", "mqueue", RK_PEER_OTHER, SPIN | PARK, MODES, BUILT_IN = &rk_wire_mqueue},
    {"ZeroMQ", "zeromq", RK_PEER_OTHER, PARK, MODES, .program = "rask-peer-zeromq", .package = "libzmq3-dev"},
    {"nng", "nng", RK_PEER_OTHER, PARK, MODES, .program = "rask-peer-nng", .package = "libnng-dev"},
    {"iceoryx", "iceoryx", RK_PEER_OTHER, SPIN | PARK, MODES, .program = "rask-peer-iceoryx",
     .package = "libiceoryx-binding-c-dev and iceoryx"},
    {"Boost.Interprocess", "boost", RK_PEER_OTHER, SPIN | PARK, MODES, .program = "rask-peer-boost",
     .package = "libboost-dev, g++ and a build with gcc"},
    {"piscina", "piscina", RK_PEER_OTHER, HELLO, MODES, .kind = &rk_runner_node, .package = "nodejs and piscina of npm",
     .scripts = true},
    {"MessagePort", "port", RK_PEER_OTHER, HELLO, MODES, .kind = &rk_runner_node, .package = "nodejs", .scripts = true},
};
const uint32_t rk_peers_count = sizeof rk_peers / sizeof rk_peers[0];
_Static_assert(sizeof rk_peers / sizeof rk_peers[0] <= 32, "a bit per peer");

const char *rk_contest_kind_name(enum rk_contest_kind kind)
{
    static const char *const names[] = {"spin", "park", "hello"};
    return names[kind];
}

static bool is_always_there(const struct rk_peer *peer)
{
    return peer->role != RK_PEER_OTHER;
}

int rk_peers_parse(const char *text, uint32_t *selected, char *bad, size_t bytes)
{
    *selected = 0;
    for (uint32_t i = 0; i < rk_peers_count; i++)
        if (is_always_there(&rk_peers[i])) *selected |= 1u << i;
    while (true) {
        size_t length = strcspn(text, ",");
        bool found = false;
        for (uint32_t i = 0; i < rk_peers_count; i++) {
            if (strlen(rk_peers[i].word) != length || strncmp(rk_peers[i].word, text, length) != 0) continue;
            *selected |= 1u << i;
            found = true;
        }
        if (!found) {
            snprintf(bad, bytes, "%.*s", (int)(length < bytes ? length : bytes - 1), text);
            return -EINVAL;
        }
        if (text[length] == '\0') return 0;
        text += length + 1;
    }
}

const char *rk_peers_words(char *text, size_t bytes)
{
    size_t used = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < rk_peers_count; i++) {
        if (is_always_there(&rk_peers[i])) continue;
        int wrote = snprintf(text + used, bytes - used, "%s%s", used > 0 ? ", " : "", rk_peers[i].word);
        if (wrote < 0 || (size_t)wrote >= bytes - used) break;
        used += (size_t)wrote;
    }
    return text;
}

void rk_peers_folder(char *path, size_t bytes)
{
    char self[PATH_MAX];
    const char *said = getenv("RASK_PEERS");
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (said != NULL && *said != '\0') {
        snprintf(path, bytes, "%s", said);
        return;
    }
    self[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(self, '/');
    if (slash != NULL) *slash = '\0';
    snprintf(path, bytes, "%.400s/../bench/peers", self);
}

bool rk_peer_find(const struct rk_peer *peer, const char *folder, char *path, char *why, size_t bytes)
{
    const char *file = peer->scripts ? "hello.mjs" : peer->program;
    if (file == NULL) return true;
    snprintf(path, bytes, "%s/%s", folder, file);
    if (access(path, peer->scripts ? R_OK : X_OK) == 0) return true;
    snprintf(why, bytes, "not built here (it needs %s; \"./dev bench --peers\" installs that and builds it): no %.100s",
             peer->package, path);
    return false;
}
