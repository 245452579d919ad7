/* SPDX-License-Identifier: MIT */
/* Crash capture: what is known of a worker's death in a handler goes to a file that `rask replay` understands.
 *
 *   crash_handler.c  in the worker: a signal handler writes a record (and the request) into a memfd, then dies as it would
 *   crash.c          in the supervisor: which death is worth a file, and the one child that writes it
 *   crash_capture.c  in that child: reads the record, else what memory still says, and composes the file
 *   crash_store.c    the directory: private, bounded
 *   crash_file.c     reads such a file back
 *
 * The memfd is made by the supervisor before the fork, and mapped by nobody: the worker writes it with pwrite(), which
 * answers a bad address with an error, and the child reads it with pread(). The supervisor itself never looks into it. */
#ifndef RK_CRASH_H
#define RK_CRASH_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define RK_CRASH_FILES_DEFAULT 32u
#define RK_CRASH_BYTES_DEFAULT (64u << 20)
#define RK_CRASH_PAYLOAD_DEFAULT (1u << 20)
#define RK_CRASH_BYTES_MIN (1u << 20)

#define RK_CRASH_MAGIC 0x31687361726b7372ull
#define RK_CRASH_FRAMES_MAX 64u
#define RK_CRASH_BUILD_ID_MAX 32u
#define RK_CRASH_MAPS_BYTES_MAX (256u << 10)
#define RK_CRASH_RING_BYTES_MAX (1u << 20)

/* Where things are in the memfd. */
#define RK_CRASH_MAPS_OFFSET 4096u
#define RK_CRASH_RING_OFFSET (RK_CRASH_MAPS_OFFSET + RK_CRASH_MAPS_BYTES_MAX)
#define RK_CRASH_PAYLOAD_OFFSET (RK_CRASH_RING_OFFSET + RK_CRASH_RING_BYTES_MAX)

/** First bytes of the memfd. Written when the worker starts to serve (signal 0), and again, bit by bit, when it dies. The
 * child believes nothing of it: every count is checked. */
struct rk_crash_record {
    uint64_t magic;
    int32_t signal; /* 0: it has not died of a signal that it could see */
    int32_t code;   /* si_code */
    uint64_t fault_address;
    uint64_t pc, sp, fp;
    uint32_t thread;
    uint32_t other_thread; /* 1: not the thread that runs handlers */
    uint64_t request_bytes;
    uint64_t payload_bytes; /* of these, stored behind RK_CRASH_PAYLOAD_OFFSET */
    uint64_t maps_bytes;
    uint32_t build_id_bytes;
    uint32_t frame_count;
    uint8_t build_id[RK_CRASH_BUILD_ID_MAX];
    uint64_t frame[RK_CRASH_FRAMES_MAX];
};
_Static_assert(sizeof(struct rk_crash_record) <= RK_CRASH_MAPS_OFFSET, "the record ends before the maps");

/** Where files go, and how much. `dir` NULL: nowhere. */
struct rk_crash_config {
    const char *dir; /* absolute */
    uint64_t files_max;
    uint64_t bytes_max;
    uint64_t payload_bytes_max; /* per request; 0: none */
};

#define RK_CRASH_CONFIG_INIT                                                      \
    {                                                                             \
        .files_max = RK_CRASH_FILES_DEFAULT, .bytes_max = RK_CRASH_BYTES_DEFAULT, \
        .payload_bytes_max = RK_CRASH_PAYLOAD_DEFAULT                             \
    }

/** The supervisor's side: at most one child that writes. Zero-initialise. */
struct rk_crash_writer {
    pid_t pid; /* 0: none */
    int pidfd;
    uint32_t worker;  /* whose death it writes */
    uint64_t dropped; /* deaths that came while another was being written */
    char path[PATH_MAX];
};

struct rk_generation;
struct rk_member;
struct rk_supervisor;
struct rk_worker;

/** What is to be written, collected before the dead worker's things are dropped. */
struct rk_crash_job {
    bool wanted;
    int record_fd; /* -1: none */
    int signal;
    int exit_code;
    bool in_handler; /* the status page says so: the next four are meant */
    uint32_t session;
    uint32_t method;
    uint32_t ticket;
    uint32_t position; /* low bits of the request's position in its lane */
    uint32_t slots;    /* of its lane, copied by the kernel to RK_CRASH_RING_OFFSET; 0: not */
    uint32_t worker;
    uint32_t generation;
    const struct rk_generation *plugin; /* the file it had loaded */
    pid_t pid;
    uint64_t time_ns; /* CLOCK_REALTIME */
};

/* crash_handler.c */
/** In the worker, once its plugin is open: write a record to `record_fd` on a fatal signal. Signals that the plugin has
 * a handler for are left alone, and so is its alternate stack. */
void rk_crash_watch(struct rk_worker *worker, int record_fd, uint64_t payload_bytes_max);
/** The worker is about to be freed; what crashes from now on had no request. */
void rk_crash_forget(const struct rk_worker *worker);

/* crash.c */
/** The member's process is dead and not dropped yet: is a file to be written? Then its name is in member->crash_file. */
void rk_crash_note(struct rk_member *member, int signal, int exit_code, struct rk_crash_job *job);
/** Everybody has been told: write it, in a child. Takes job->record_fd over. */
void rk_crash_capture(struct rk_supervisor *supervisor, struct rk_crash_job *job);
/** The end: wait a moment for the child. */
void rk_crash_finish(struct rk_supervisor *supervisor);

/* crash_capture.c */
/** In the child: compose and store the file. 0, or -errno with the reason in rask_last_error(). */
int rk_crash_write(const struct rk_supervisor *supervisor, const struct rk_crash_job *job, const char *path);

/* crash_store.c */
/** Where crashes go when nothing is said: $RASK_CRASH_DIR, else /var/lib/rask/crashes for root, else
 * $XDG_STATE_HOME/rask/crashes, $HOME/.local/state/rask/crashes, /tmp/rask-UID/crashes. Relative paths become absolute. */
void rk_crash_dir_default(char *dir, size_t bytes);
/** An absolute path for what the user typed; "none" stays that. */
void rk_crash_dir_absolute(const char *typed, char *dir, size_t bytes);
/** Open the directory; `make`: with its parents, mode 0700, if it is missing. A descriptor, or -errno: -EPERM it is not ours
 * or writable by others. */
int rk_crash_dir_open(const char *dir, bool make);
/** Call `each` with the name of every crash file, oldest first, until it returns non-zero. */
int rk_crash_dir_list(int dir_fd, int (*each)(int dir_fd, const char *name, uint64_t bytes, void *user), void *user);

/** One piece of a file. */
struct rk_crash_part {
    const void *data;
    size_t bytes;
};
/** Write parts as a new file (0600), after removing the oldest until `config` holds. It appears complete or not at all. */
int rk_crash_store(const struct rk_crash_config *config, const char *name, const struct rk_crash_part *parts,
                   unsigned count);

#endif
