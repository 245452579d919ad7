/* SPDX-License-Identifier: MIT */
/* The supervisor's private state, shared by its files:
 *
 *   supervisor.c  set-up, signals, phases, the end        pool.c     workers: start, messages, death, restart
 *   clients.c     connections: hello to attached, leaving lanes.c    lanes and segments between clients and workers
 *   handover.c    one worker takes over from another      reload.c   a new plugin file, all or nothing
 *   access.h      who may connect                         quota.h    how much of it all one user may have
 *
 * Everything a peer says is checked in the function that receives it. Sending cannot fail (peer.h), so no function here
 * frees a client or a worker but from that client's or worker's own callback. */
#ifndef RK_SUPERVISOR_STATE_H
#define RK_SUPERVISOR_STATE_H

#include "board.h"
#include "control.h"
#include "crash.h"
#include "generation.h"
#include "late.h"
#include "listen.h"
#include "loader.h"
#include "log.h"
#include "oom.h"
#include "peer.h"
#include "poison_table.h"
#include "policy.h"
#include "segment.h"
#include "supervisor.h"
#include <sys/resource.h>
#include <sys/types.h>
#include <unistd.h>

/* Descriptor messages that may be under way to one client, to one worker. */
#define RK_CLIENT_UNACKED_MAX 1u
#define RK_WORKER_UNACKED_MAX 16u
/* Queued messages before a party is cut off. What a party can cause is bounded by its lanes and segments, so only one
 * that does not read for very long gets here. */
#define RK_CLIENT_QUEUED_MAX 2048u
#define RK_WORKER_QUEUED_MAX 65536u
/* Messages taken from one party in one round. */
#define RK_ROUND_MESSAGES_MAX 32u

enum rk_phase {
    RK_PHASE_STARTING, /* no worker was ready yet: clients wait */
    RK_PHASE_SERVING,
    RK_PHASE_DRAINING, /* workers finish what they have */
    RK_PHASE_FAILING,  /* the plugin does not load: clients are told */
    RK_PHASE_ENDING    /* the last private client is gone: workers are killed */
};

struct rk_supervisor;

/** What the processes at a post did that are gone or leave, for `rask stats`. */
struct rk_past {
    uint64_t starts;       /* of holders, the present one, too */
    uint64_t deaths;       /* not asked for */
    uint64_t replacements; /* by a reload, or because it had done its share */
    uint64_t requests;
    uint64_t errors;
    uint64_t refused;
    uint64_t parks;
    uint64_t rescues;
    uint64_t bad_peer;
    uint64_t log_dropped;
};

/** A worker's number is a post. One member holds it; for a reload or a replacement another one comes up beside it, takes
 * over, and the old one leaves when it has finished. At most one of each at a time. */
enum rk_role { RK_ROLE_HOLDER, RK_ROLE_INCOMING, RK_ROLE_LEAVING };

/** One worker: the process of the moment, if there is one, and the record of those before it. */
struct rk_member {
    struct rk_supervisor *supervisor;
    struct rk_member *next_buried;
    uint32_t index;
    enum rk_role role;
    uint32_t seat; /* 2 * index or 2 * index + 1: differs from that of the member it takes over from */
    struct rk_generation *plugin;
    uint32_t generation; /* of the incarnation; 0: there was none yet */
    struct rk_policy policy;
    struct rk_timer timer; /* start time-out, back-off, or patience with one that hung up */
    struct rk_load_error failure;
    pid_t pid;           /* 0: no process */
    struct rk_fd *pidfd; /* goes to clients, too */
    struct rk_peer peer;
    struct rk_segment control;
    struct rk_segment status; /* not mapped until STATUS came */
    struct rk_past kept;      /* of this process: what the post has counted already */
    bool spent;               /* it is to be replaced */
    uint64_t age_ns_max;      /* with jitter */
    bool hung_up;             /* its socket ended; its death is expected */
    struct rk_late late;
    int crash_fd;                         /* what it writes when it crashes (crash.h); -1: none */
    char crash_file[RK_CRASH_FILE_BYTES]; /* where its last death is written; empty: nowhere */
    uint32_t crash_session;               /* whose request it died of */
    bool out_of_memory;                   /* the kernel ended it for its memory */
    bool killed;                          /* others ended it */
};

struct rk_post {
    struct rk_member *holder;
    struct rk_member *incoming;
    struct rk_member *leaving;
    struct rk_past past;
    uint32_t generation; /* of its last incarnation; grows with every start */
};

enum rk_client_state {
    RK_CLIENT_SILENT,   /* connected, HELLO not here yet */
    RK_CLIENT_WAITING,  /* HELLO was fine; no worker was ready yet */
    RK_CLIENT_WELCOMED, /* ATTACH not here yet */
    RK_CLIENT_ATTACHED,
    RK_CLIENT_ASKING, /* asked for a reload, waits for its turn or its outcome */
    RK_CLIENT_LEAVING /* told why; its socket is kept a moment so that it can read that */
};

enum rk_place_state {
    RK_PLACE_FREE,
    RK_PLACE_WANTED,  /* the worker does not serve yet, or the user has no bytes left for it */
    RK_PLACE_OPENING, /* LANE_OPEN was sent */
    RK_PLACE_OPEN,
    RK_PLACE_GONE /* its worker died; LANE_CLOSED has not come */
};

enum rk_reload_stage {
    RK_RELOAD_NONE,
    RK_RELOAD_CANARY,   /* the first worker with the new file comes up */
    RK_RELOAD_STARTING, /* the others do */
    RK_RELOAD_FINISHING /* done or rolled back: the workers that are not wanted any more end */
};

/** A reload in progress, and what waits for it to end. */
struct rk_reload {
    enum rk_reload_stage stage;
    struct rk_generation *generation;
    struct rk_client *asker; /* NULL: a signal, or it has left */
    uint32_t stragglers;     /* of the old workers: killed because they took too long */
    int exit_code;           /* of the asker */
    bool again;              /* SIGHUP came meanwhile */
    char text[RK_MESSAGE_TEXT_BYTES];
};

/** A lane, as the supervisor sees it. */
struct rk_place {
    enum rk_place_state state;
    uint32_t worker;
    uint32_t generation;
    bool crashed;        /* GONE: its worker died by itself, and no request was reported for that yet */
    bool leaving;        /* its worker takes nothing new: the client may have another lane to its post */
    uint64_t slab_bytes; /* of the response slab, with the extra segments */
    uint64_t segments[RK_SEGMENTS_MAX / 64];
    uint64_t bytes; /* charged to the session, see quota.h */
};

struct rk_client {
    struct rk_client *next;
    struct rk_supervisor *supervisor;
    enum rk_client_state state;
    struct rk_timer timer;
    struct rk_peer peer;
    uint32_t uid;         /* when it connected */
    uint32_t deaths_told; /* DEATHs that came */
    bool other_user;      /* not the supervisor's: its requests are copied before they are handled */
    char *reload;         /* ASKING: which file; NULL: its turn has come */
    uint32_t flags;       /* RK_PEER_* of its HELLO */
    uint32_t session;     /* 0: none yet */
    struct rk_params params;
    struct rk_segment control;
    struct rk_segment bell;
    struct rk_fd *request;
    struct rk_fd *bell_fd;
    struct rk_fd *extra[RK_SEGMENTS_MAX];
    uint64_t extra_bytes[RK_SEGMENTS_MAX];
    uint64_t slab_bytes; /* of the request slab, with the extra segments */
    /* Shared memory, see quota.h. */
    uint64_t own_bytes;        /* request segments, bell, control word */
    uint64_t lane_bytes;       /* of all lanes */
    uint64_t first_lane_bytes; /* one lane is paid for from the start */
    struct rk_place place[RK_LANES_MAX];
    uint32_t known[2 * RASK_WORKERS_MAX]; /* by seat: generation of the incarnation that has our SESSION; 0: none */
};

struct rk_supervisor {
    const struct rk_supervisor_config *config;
    struct rk_reactor *reactor;
    enum rk_phase phase;
    int exit_code;
    struct rlimit files; /* as it was at the start: what workers get */
    int signal_fd;
    uint64_t signal_ns; /* when the first one came */
    bool has_terminal;  /* standard error was one at the start */
    struct rk_listener listener;
    struct rk_timer accept_timer; /* accepting pauses */
    struct rk_timer end_timer;    /* drain time-out, then the last flush */
    bool ever_ready;
    bool takes_a_crowd;  /* more sessions than RASK_SESSIONS_MAX_CLASSIC: io_uring was tried and can */
    bool last_words;     /* no worker is left; only messages have to go out */
    bool lanes_deferred; /* some lane waits until its user has bytes for it */
    uint64_t deferred_said_ns;
    uint32_t lanes; /* of every session */
    struct rk_post *posts;
    struct rk_member *buried; /* dead and of no role: freed at the end of the round */
    struct rk_timer burial;
    struct rk_generation *generation; /* what holders run */
    struct rk_message_ready plugin;   /* its READY */
    uint32_t generations_made;
    struct rk_reload reload;
    struct rk_timer late_timer;
    struct rk_poison_table poisons;
    struct rk_oom oom;
    struct rk_timer poison_timer;
    struct rk_timer recycle_timer;
    uint64_t recycle_not_before_ns;
    bool broken;     /* every worker waits for its next start: requests are refused instead of kept */
    uint64_t chance; /* state of the generator behind every jitter */
    struct rk_client *clients;
    uint32_t client_count;
    uint32_t sessions_made;
    uint32_t parallel; /* workers that can run at once beside a client */
    uint64_t sessions_refused;
    uint64_t sessions_ended;
    struct rk_segment board; /* board.h; its descriptor stays open for tools */
    struct rk_timer log_timer;
    uint32_t failure_reason; /* of FAILING, enum rk_refusal */
    char failure_text[RK_MESSAGE_TEXT_BYTES];
    struct rk_crash_writer crash;
};

/* supervisor.c */
/** A log line about a worker (or RK_LOG_NO_WORKER). `event` is its stable name, see docs/operating.md. */
__attribute__((format(printf, 5, 6))) void rk_supervisor_log(struct rk_supervisor *supervisor, int level,
                                                             uint32_t worker, const char *event, const char *format,
                                                             ...);
/** A random number, for jitter only. */
uint32_t rk_chance(struct rk_supervisor *supervisor);
/** The first worker is ready. */
void rk_supervisor_ready(struct rk_supervisor *supervisor);
/** The start has failed, for the plugin or (no check) for want of something: tell everybody, and end. */
void rk_supervisor_fail(struct rk_supervisor *supervisor, const struct rk_load_error *error);
/** Something ended (a worker, a client, a queue): is it time to stop? */
void rk_supervisor_look(struct rk_supervisor *supervisor);

static inline struct rk_member *rk_holder(const struct rk_supervisor *supervisor, uint32_t index)
{
    return supervisor->posts[index].holder;
}

/* pool.c */
int rk_pool_create(struct rk_supervisor *supervisor);
void rk_pool_destroy(struct rk_supervisor *supervisor);
/** Every worker gets this event. */
void rk_pool_tell(struct rk_supervisor *supervisor, enum rk_policy_event event);
void rk_member_event(struct rk_member *member, enum rk_policy_event event);
/** It broke the rules: killed, and that counts as a death. */
__attribute__((format(printf, 2, 3))) void rk_member_bad(struct rk_member *member, const char *format, ...);
/** If its process is dead: reap it, and do all that follows. True if it was. */
bool rk_member_reap(struct rk_member *member);
/** Its socket has ended. Usually its process is about to be reaped; one that is not gets a moment, then it is bad. */
void rk_member_hung_up(struct rk_member *member);
bool rk_pool_alive(const struct rk_supervisor *supervisor);
/** Its timer: a start, a back-off, a departure took its time. */
void rk_member_timer(void *member);
/** Why it does not serve. */
__attribute__((format(printf, 3, 4))) void rk_member_failure(struct rk_member *member, enum rk_load_check check,
                                                             const char *format, ...);
static inline bool rk_member_serves(const struct rk_member *member)
{
    return member->policy.state == RK_WORKER_SERVING;
}

/* handover.c */
/** NULL: out of memory. */
struct rk_member *rk_member_create(struct rk_supervisor *supervisor, uint32_t index, enum rk_role role,
                                   struct rk_generation *plugin);
/** If it has no process and holds no post: take it out; it is freed at the end of the round. */
void rk_member_bury(struct rk_member *member);
void rk_members_free(struct rk_supervisor *supervisor);
/** At the end of the round: free the buried, and see what can go on. */
void rk_posts_look_soon(struct rk_supervisor *supervisor);
/** Start another worker for a post, beside the one that holds it. False: no memory. */
bool rk_incoming_start(struct rk_supervisor *supervisor, uint32_t index, struct rk_generation *plugin);
/** It serves. */
void rk_incoming_ready(struct rk_member *member);
/** It will not serve: see its failure. */
void rk_incoming_failed(struct rk_member *member);
/** Stop all that are coming up. */
void rk_incoming_stop(struct rk_supervisor *supervisor);
/** From now on the incoming member holds the post; the other one finishes what it has and leaves. */
void rk_hand_over(struct rk_post *post);
/** Nobody is coming up or leaving. */
bool rk_posts_settled(const struct rk_supervisor *supervisor);
/** Are all holders in back-off? Tells everybody when that changes. */
void rk_pool_check(struct rk_supervisor *supervisor);
/** The member of an incarnation, or NULL if it is gone. */
struct rk_member *rk_member_find(const struct rk_supervisor *supervisor, uint32_t index, uint32_t generation);

/* reload.c */
/** SIGHUP: read the file again. */
void rk_reload_signal(struct rk_supervisor *supervisor);
/** A client asks for a reload. */
void rk_reload_asked(struct rk_client *client, const struct rk_message_reload *message);
/** A client that asked goes. */
void rk_reload_forget(struct rk_client *client);
/** Is a reload in progress, or about to be? */
bool rk_reload_busy(const struct rk_supervisor *supervisor);
/** An incoming member of a reload serves, or does not. */
void rk_reload_ready(struct rk_supervisor *supervisor);
void rk_reload_failed(struct rk_member *member);
/** Something ended: go on. */
void rk_reload_look(struct rk_supervisor *supervisor);

/* recycle.c */
void rk_recycle_start(struct rk_supervisor *supervisor);
/** This worker has done its share. */
void rk_recycle_wanted(struct rk_member *member, const char *why);
/** Its replacement did not come up: it goes on, and another attempt is made later. */
void rk_recycle_failed(struct rk_supervisor *supervisor);
/** Replace the next one that has to be, if nothing else goes on. */
void rk_recycle_look(struct rk_supervisor *supervisor);

/* pool_process.c */
/** Make the member's next process, with its words, watches and descriptors. 0, or -errno and nothing is left. */
int rk_member_process_start(struct rk_member *member);
/** Let go of the process that is gone. */
void rk_member_process_drop(struct rk_member *member);

/* pool_messages.c */
/** Receive and act on what waits on its socket, at most `limit` messages. */
void rk_member_receive(struct rk_member *member, unsigned limit);

/* clients.c */
/** A connected socket becomes a client. Takes `fd` over. */
void rk_client_accept(struct rk_supervisor *supervisor, int fd);
/** The same for a descriptor of unknown kind: from ADOPT, from the command line. 0, -EPROTO. */
int rk_client_adopt(struct rk_supervisor *supervisor, int fd);
/** Refuse it (REFUSED) or, once attached, end its session (ENDED), and let it go. */
__attribute__((format(printf, 3, 4))) void rk_client_end(struct rk_client *client, uint32_t reason, const char *format,
                                                         ...);
/** The same, because the supervisor is out of descriptors. */
void rk_client_end_for_files(struct rk_client *client);
void rk_client_destroy(struct rk_client *client);
/** Tell it the outcome of its command, and let it go. */
void rk_client_answer(struct rk_client *client, int exit_code, const char *text);
/** It has its answer: it gets a moment to read it. */
void rk_client_leave(struct rk_client *client);
/** It has this long for its next step, or to leave. */
void rk_client_time(struct rk_client *client, uint64_t ns);
/** Tell it which workers serve. */
void rk_client_workers(struct rk_client *client);
/** The pool is ready: welcome those that wait. */
void rk_clients_welcome(struct rk_supervisor *supervisor);
/** The same for everybody. */
void rk_clients_workers(struct rk_supervisor *supervisor);
/** Tell everybody that this is the end. */
void rk_clients_shutdown(struct rk_supervisor *supervisor);
/** May this user give commands to the supervisor (reload, poison, whatever is not about its own session)? The one rule. */
static inline bool rk_uid_is_admin(uint32_t uid)
{
    return uid == 0 || uid == geteuid();
}
static inline bool rk_client_is_admin(const struct rk_client *client)
{
    return rk_uid_is_admin(client->uid);
}
/** Attached client of a session, or NULL. */
struct rk_client *rk_client_find(struct rk_supervisor *supervisor, uint32_t session);

/* handshake.c */
/** HELLO and ATTACH. Refuses by itself. */
void rk_client_hello(struct rk_client *client, const struct rk_message_hello *hello);
void rk_client_welcome(struct rk_client *client);
void rk_client_attach(struct rk_client *client, const int fds[2]);

/* lanes.c: requests of an attached client. 0, or the reason to end it in rask_last_error(): -EPROTO it broke the rules,
 * -ENOMEM, -EMFILE the supervisor is out of descriptors, -EDQUOT the user's share is used up. They take descriptors over. */
int rk_lane_wanted(struct rk_client *client, const struct rk_message_lane *message);
int rk_lane_settled(struct rk_client *client, const struct rk_message_lane *message);
int rk_request_segment(struct rk_client *client, const struct rk_message_segment *message, int fd);
/* Of a worker. 0, or -EPROTO: the worker broke the rules. */
int rk_lane_opened(struct rk_member *member, const struct rk_message_lane *message, int fd);
int rk_response_segment(struct rk_member *member, const struct rk_message_segment *message, int fd);
/** Is the lane's worker dead? It is looked at now. */
bool rk_lane_is_gone(const struct rk_client *client, uint32_t lane);
/** The worker serves: open the lanes that wait for it. */
void rk_lanes_serve(struct rk_member *member);
/** The worker takes nothing new: everybody who has a lane with it takes back what has not started. */
void rk_lanes_leave(struct rk_member *member);
/** The worker is dead, or will not serve any more: LANE_GONE to everybody who has a lane with it. */
void rk_lanes_gone(struct rk_member *member, int signal, int exit_code, uint32_t stage);
/** A draining pool opens no more lanes. */
void rk_lanes_give_up(struct rk_supervisor *supervisor);
/** The session is over: its workers forget it. */
void rk_lanes_close(struct rk_client *client);

#endif
