/* SPDX-License-Identifier: MIT */
/* Messages on the control sockets (SOCK_SEQPACKET): client <-> supervisor and supervisor <-> worker.
 *
 * One message is one packet: struct rk_message, then a body fixed by its type. The first 16 bytes never change, so that
 * any two versions can refuse each other in words. Everything received is checked here for magic, type, length and
 * number of descriptors; what the fields mean is checked by the receiver.
 *
 *   client                      supervisor                        worker
 *   HELLO            ------>    (waits until a worker is READY)
 *                    <------    WELCOME +1 fd, METHODS   | REFUSED
 *   ATTACH +2 fds    ------>
 *                    <------    ATTACHED                 | REFUSED
 *   OPEN_LANE        ------>    SESSION +2 fds (once)    ------>
 *                               SEGMENT +1 fd (each)     ------>
 *                               LANE_OPEN                ------>
 *                               LANE_OPENED +1 fd        <------
 *                    <------    LANE +2 fds
 *   SEGMENT +1 fd    ------>    SEGMENT +1 fd            ------>    more request slab
 *                    <------    SEGMENT +1 fd            <------    more response slab
 *                    <------    LANE_GONE                           the worker of a lane died
 *                    <------    LANE_LEAVING                        it takes nothing new: take back what has not started
 *   LANE_CLOSED      ------>                                        settled: the lane may be used again
 *                    <------    WORKERS                             which workers serve
 *   ADOPT +1 fd      ------>                                        one more session over this socket
 *                    <------    SHUTDOWN                 ------>
 *   LATE             ------>                                        a handler is past its deadline
 *   DEATH            ------>                                        what a worker died of: a request's fingerprint
 *                    <------    POISONS                             which requests are not to be sent (also before ATTACHED)
 *   ACK              ------>                             <------    for every message that carried descriptors
 *                               SESSION_CLOSE            ------>
 *                               STATUS +1 fd, READY | FAILED <------ at start
 *                               SESSION_BAD              <------    peer data was wrong: end that session
 *                               RECYCLE                  <------    it wants to be replaced
 *                    <------    ENDED
 *
 *   RELOAD           ------>    (instead of HELLO; the supervisor's user and root only)
 *                    <------    RELOADED | REFUSED
 *   POISON           ------>    (instead of HELLO; the supervisor's user and root only)
 *                    <------    POISON_LIST | REFUSED
 */
#ifndef RK_CONTROL_H
#define RK_CONTROL_H

#include "layout.h"
#include <rask/limits.h>
#include <stddef.h>
#include <stdint.h>

#define RK_PROTOCOL 3u
#define RK_MESSAGE_MAGIC 0x4b534152u /* "RASK" */
#define RK_MESSAGE_FDS_MAX 4u
#define RK_MESSAGE_TEXT_BYTES 512u
#define RK_CRASH_FILE_BYTES 256u

enum rk_message_type {
    /* client -> supervisor */
    RK_HELLO = 1,
    RK_ATTACH,
    RK_OPEN_LANE,
    RK_LANE_CLOSED,
    RK_ADOPT,
    /* supervisor -> client */
    RK_WELCOME,
    RK_METHODS,
    RK_REFUSED,
    RK_ATTACHED,
    RK_LANE,
    RK_LANE_GONE,
    RK_WORKERS,
    RK_ENDED,
    /* supervisor -> worker */
    RK_SESSION,
    RK_LANE_OPEN,
    RK_SESSION_CLOSE,
    /* worker -> supervisor */
    RK_STATUS,
    RK_READY,
    RK_FAILED,
    RK_LANE_OPENED,
    RK_SESSION_BAD,
    /* both ways */
    RK_SEGMENT,
    RK_SHUTDOWN,
    RK_ACK,
    /* supervisor -> client */
    RK_LANE_LEAVING,
    RK_RELOADED,
    /* client -> supervisor */
    RK_RELOAD,
    /* worker -> supervisor */
    RK_RECYCLE,
    /* client -> supervisor */
    RK_LATE,
    RK_DEATH,
    RK_POISON,
    /* supervisor -> client */
    RK_POISONS,
    RK_POISON_LIST,
    RK_MESSAGE_TYPE_COUNT
};

/** Starts every message; frozen for all versions. */
struct rk_message {
    uint32_t magic;
    uint16_t protocol;
    uint16_t type;
    uint32_t bytes; /* of the whole packet */
    uint32_t reserved;
};
static_assert(sizeof(struct rk_message) == 16, "frozen");

/* Flags of HELLO, WELCOME, SESSION, LANE, LANE_OPENED. */
#define RK_PEER_MEMBARRIER 0x1u /* the party is registered for membarrier */
#define RK_PEER_SNAPSHOT 0x2u   /* SESSION: another user's requests, copy before handling */

struct rk_message_hello {
    struct rk_message head;
    uint32_t layout;
    uint32_t fingerprint;
    uint32_t flags;
    uint32_t wait_mode;
    char version[16];
    struct rk_params params; /* lanes = 0: the supervisor chooses */
};

struct rk_message_welcome {
    struct rk_message head;
    uint32_t layout;
    uint32_t fingerprint;
    uint32_t flags;
    uint32_t session;
    uint32_t workers;
    uint32_t lanes;
    uint32_t first_worker; /* open the first lane with this one: spreads sessions */
    uint32_t parallel;     /* so many workers can run at once beside a client */
    uint32_t worker_wait_mode;
    uint32_t method_count;
    uint32_t supervisor_pid;
    uint64_t slab_bytes_max; /* what the session may have: at most what it asked for */
    char version[16];
    char engine[16];
    char plugin[48];
    char plugin_version[32];
};

struct rk_method_entry {
    char name[RASK_METHOD_NAME_BYTES_MAX + 1];
    char summary[RASK_METHOD_SUMMARY_BYTES_MAX + 1];
};

/** Packet is cut after `count` entries. */
struct rk_message_methods {
    struct rk_message head;
    uint32_t count;
    uint32_t reserved;
    struct rk_method_entry entry[RASK_METHODS_MAX];
};

/** Why a session is refused or ended. The client turns it into an errno. */
enum rk_refusal {
    RK_REFUSED_VERSION = 1,    /* -EPROTONOSUPPORT */
    RK_REFUSED_PROTOCOL = 2,   /* -EPROTO */
    RK_REFUSED_PLUGIN = 3,     /* -ENOEXEC */
    RK_REFUSED_BUSY = 4,       /* -EBUSY */
    RK_REFUSED_OPTIONS = 5,    /* -EINVAL */
    RK_REFUSED_SHUTDOWN = 6,   /* -ESHUTDOWN */
    RK_REFUSED_PERMISSION = 7, /* -EACCES */
    RK_REFUSED_MEMORY = 8,     /* -ENOMEM */
    RK_REFUSED_COUNT
};

struct rk_message_text { /* REFUSED, ENDED, FAILED, SESSION_BAD, RELOADED */
    struct rk_message head;
    uint32_t reason;  /* enum rk_refusal; FAILED: enum rk_load_check of loader.h; RELOADED: exit code of the command */
    uint32_t session; /* SESSION_BAD */
    char text[RK_MESSAGE_TEXT_BYTES];
};

/** HELLO's answer to ATTACH etc. has no body: ATTACHED, SHUTDOWN, ACK, ATTACH, ADOPT, STATUS. */

struct rk_message_lane { /* OPEN_LANE, LANE, LANE_CLOSED, LANE_OPEN, LANE_OPENED, LANE_LEAVING */
    struct rk_message head;
    uint32_t session;
    uint32_t lane;
    uint32_t worker;
    uint32_t generation; /* of the worker: grows with every restart */
    uint32_t flags;
    uint32_t pid;
};

/** How a worker ended. */
enum rk_gone_cause {
    RK_GONE_UNKNOWN = 0, /* the client found out by itself */
    RK_GONE_CRASHED = 1, /* by itself */
    RK_GONE_KILLED = 2,  /* by a signal that comes from outside, or by the supervisor */
    RK_GONE_LATE = 3,    /* by the supervisor, because its request of this session was past its time */
};

struct rk_message_lane_gone {
    struct rk_message head;
    uint32_t lane;
    uint32_t worker;
    int32_t signal; /* 0: it exited */
    int32_t exit_code;
    uint32_t stage;        /* enum rk_worker_stage it died in */
    uint32_t never_opened; /* 1: the lane did not come into being */
    uint32_t cause;        /* enum rk_gone_cause */
    uint32_t reserved;
    char crash_file[RK_CRASH_FILE_BYTES]; /* where a request of this session's is written down; empty: nowhere */
};

#define RK_POOL_BROKEN 0x1u /* WORKERS: every worker died too often and waits for its next start */

struct rk_message_workers {
    struct rk_message head;
    uint32_t count;
    uint32_t flags;
    uint64_t serving[RASK_WORKERS_MAX / 64]; /* bit i: worker i serves */
};

struct rk_message_session { /* SESSION +2 fds: request segment, bell */
    struct rk_message head;
    uint32_t session;
    uint32_t flags;
    struct rk_params params;
};

struct rk_message_session_id { /* SESSION_CLOSE */
    struct rk_message head;
    uint32_t session;
    uint32_t reserved;
};

struct rk_message_segment { /* SEGMENT +1 fd */
    struct rk_message head;
    uint32_t session;
    uint32_t lane; /* of a response segment */
    uint32_t kind; /* RK_SEGMENT_REQUEST_EXTRA or RK_SEGMENT_RESPONSE_EXTRA */
    uint32_t id;   /* 1..RK_SEGMENTS_MAX-1 */
    uint64_t bytes;
};

struct rk_message_reload { /* RELOAD */
    struct rk_message head;
    char path[4096]; /* absolute; empty: the same file again */
};

struct rk_message_late { /* LATE */
    struct rk_message head;
    uint32_t session;
    uint32_t lane;
    uint64_t position; /* of the request in the lane */
    uint64_t deadline_ns;
    uint32_t ticket;     /* as in its slot */
    uint32_t generation; /* of the worker */
};

struct rk_message_death { /* DEATH */
    struct rk_message head;
    uint32_t session;
    uint32_t lane;
    uint64_t fingerprint;
    uint32_t method;
    uint32_t reserved;
};

/** Deaths on one fingerprint that make it a poison. */
#define RK_POISON_DEATHS 2u

struct rk_poison {
    uint64_t fingerprint;
    uint32_t deaths;
    uint32_t reserved;
};

struct rk_message_poisons { /* POISONS: replaces the one before */
    struct rk_message head;
    uint32_t reports; /* DEATHs of this session that it has heard of */
    uint32_t count;
    struct rk_poison entry[RASK_POISONS_PER_USER_MAX];
};

enum rk_poison_command { RK_POISON_SHOW = 1, RK_POISON_CLEAR = 2 };

struct rk_message_poison { /* POISON */
    struct rk_message head;
    uint32_t command; /* enum rk_poison_command */
    uint32_t reserved;
    uint64_t fingerprint; /* CLEAR: this one; 0: all */
};

struct rk_poison_row {
    uint64_t fingerprint;
    uint64_t left_ns; /* until it is forgotten */
    uint32_t uid;
    uint32_t method;
    uint32_t deaths;
    uint32_t reserved;
};

struct rk_message_poison_list { /* POISON_LIST */
    struct rk_message head;
    uint32_t count;   /* of the table, after the command */
    uint32_t cleared; /* by the command */
    struct rk_poison_row row[RASK_POISONS_MAX];
};

struct rk_message_ready {
    struct rk_message head;
    uint32_t flags;
    uint32_t method_count;
    char plugin[48];
    char plugin_version[32];
    struct rk_method_entry entry[RASK_METHODS_MAX]; /* packet is cut after method_count */
};

/** Any message; large enough for all. */
union rk_any_message {
    struct rk_message head;
    struct rk_message_hello hello;
    struct rk_message_welcome welcome;
    struct rk_message_methods methods;
    struct rk_message_text text;
    struct rk_message_lane lane;
    struct rk_message_lane_gone lane_gone;
    struct rk_message_workers workers;
    struct rk_message_session session;
    struct rk_message_session_id session_id;
    struct rk_message_segment segment;
    struct rk_message_reload reload;
    struct rk_message_late late;
    struct rk_message_death death;
    struct rk_message_poisons poisons;
    struct rk_message_poison poison;
    struct rk_message_poison_list poison_list;
    struct rk_message_ready ready;
};

/** Fill in a header. */
void rk_message_init(struct rk_message *head, enum rk_message_type type, size_t bytes);

/** Send one packet (header already filled in) with up to RK_MESSAGE_FDS_MAX descriptors, which stay the caller's.
 * Never blocks. Returns 0; -EAGAIN full, try when writable; -ETOOMANYREFS too many descriptors in flight, try later;
 * -EPIPE or -ECONNRESET the peer is gone. */
int rk_control_send(int socket, const void *message, const int *fds, unsigned fd_count);

/** The same, but waits at most `patience_ns` for room. For senders that have nothing better to do. */
int rk_control_send_within(int socket, const void *message, const int *fds, unsigned fd_count, uint64_t patience_ns);

/** Receive one packet into *message (any union, cleared behind the packet's end). Never blocks. Descriptors are
 * close-on-exec and become the caller's: fds[0..*fd_count). Returns 0; -EAGAIN nothing there; -ECONNRESET the peer closed;
 * -EPROTO not one of our messages, truncated, or with another number of descriptors than its type has (all of them
 * are then closed); -EMFILE one of our messages, and valid, but this process had no numbers left for its descriptors (those
 * that did fit are closed: it says what was lost); -EPROTONOSUPPORT another protocol number (closed too; head is valid,
 * and the text of a REFUSED). */
int rk_control_receive(int socket, union rk_any_message *message, int fds[RK_MESSAGE_FDS_MAX], unsigned *fd_count);

/** Wait until readable or the absolute CLOCK_MONOTONIC deadline (0: none). 0, -ETIMEDOUT, -EINTR. */
int rk_control_wait(int socket, uint64_t deadline_ns);

/** Descriptors a message of this type carries, and whether it must be acknowledged (any do). */
unsigned rk_message_fd_count(uint32_t type);
const char *rk_message_type_name(uint32_t type);

#endif
