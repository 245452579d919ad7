/* SPDX-License-Identifier: MIT */
/* What the process tests share: run the real `rask`, start and stop supervisors, count executions in a ledger, and see that
 * nothing is left behind. A failure in here fails the running test.
 *
 * kit_set_up() and kit_tear_down() belong to every test: an alarm, so that a hang fails within seconds, and the
 * comparison of descriptors, mappings and child processes before and after. This process is the subreaper of everything
 * it starts: what a dead supervisor leaves behind comes here. */
#ifndef RK_TEST_KIT_H
#define RK_TEST_KIT_H

#include "../plugins/ledger.h"
#include <rask/rask.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
/* Needs the headers above. */
#include <cmocka.h>

#define KIT_MS 1000000ull
#define KIT_S 1000000000ull

#define KIT_TEST(name) cmocka_unit_test_setup_teardown(name, kit_set_up, kit_tear_down)

/** Once in main(), before anything else. */
void kit_init(void);
/** No leak checker in programs that are started from now on: it traces, and a leak may be what a test wants. */
void kit_ignore_leaks(void);
int kit_set_up(void **state);
int kit_tear_down(void **state);

/** Built with a sanitizer: everything is several times slower, and uses more memory. */
extern const bool kit_sanitized;

/** fork() for tests: 0 in the child, which dies with this process and after the test's time, and must _exit(). */
pid_t kit_fork(void);

/** Sleep. */
void kit_pause_ms(unsigned ms);

/** RASK_SEED, or one from the clock; printed either way. */
uint64_t kit_seed(void);
/** Next number of a generator (splitmix64); `below` may not be 0. */
uint64_t kit_random(uint64_t *state, uint64_t below);

/** Path of a plugin of tests/plugins. Valid until the next call but three. */
const char *kit_plugin(const char *name);

/* ---- running rask ------------------------------------------------------------------------------------------------ */

struct kit_result {
    int code;  /* exit code, or -signal */
    char *out; /* standard output, with a zero behind it */
    char *err; /* standard error, the same */
    size_t out_bytes;
    uint64_t took_ns;
};

/** Standard input of the next kit_rask(). Borrowed until then. */
void kit_input(const void *data, size_t bytes);
/** Run `rask` with these arguments, NULL at the end, to its end. Valid until the next call. */
const struct kit_result *kit_rask(const char *first, ...) __attribute__((sentinel));
/** The same for any program with its argument list; environment entries "KEY=VALUE" (or NULL) are added. */
const struct kit_result *kit_program(const char *const *arguments, const char *const *environment);
/** Start it and do not wait: the pid, a child of this process that dies with it. Output goes to `out_fd`, or nowhere (-1). */
pid_t kit_launch(const char *const *arguments, int out_fd, int err_fd);
/** Wait for a child: exit code or -signal; fails after `timeout_ms`. */
int kit_wait(pid_t pid, unsigned timeout_ms);

/* ---- supervisors ------------------------------------------------------------------------------------------------- */

struct kit_server {
    pid_t pid;
    int ready_fd; /* its standard output */
    char folder[64];
    char socket[96];
    char log[96];
};

/** Start `rask run --socket ... ARGUMENTS`, NULL at the end, and wait for its ready line. */
void kit_start(struct kit_server *server, ...) __attribute__((sentinel));
/** The same without waiting. */
void kit_start_only(struct kit_server *server, ...) __attribute__((sentinel));
void kit_wait_ready(struct kit_server *server);
/** Before a start: the folder and the names, so that the test can prepare what is in there. */
void kit_prepare(struct kit_server *server);
void kit_start_prepared(struct kit_server *server, const char *const *arguments);
/** SIGTERM; expects exit code 0 and nothing left in the folder. */
void kit_stop(struct kit_server *server);
/** It ends otherwise (is killed, ends by itself): wait, remove what belonged to it. Returns its exit code. */
int kit_ended(struct kit_server *server, unsigned timeout_ms);
/** It is reaped and its folder is removed: nothing of it is left to clean up. */
void kit_forget(struct kit_server *server);
/** What it wrote to standard error so far; valid until the next call. */
const char *kit_log(const struct kit_server *server);

/** A socket of the same kind, connected to `path`, or listening there: to speak and to answer by hand. */
int kit_dial(const char *path);
int kit_listen(const char *path);

/** Open a session with it. */
struct rask *kit_connect(const struct kit_server *server, const struct rask_options *options);

/** Child processes of `pid`, zombies included; at most `max`. */
unsigned kit_children(pid_t pid, pid_t *pids, unsigned max);
/** Those of them that are workers: a supervisor has other children, too, that write down crashes. */
unsigned kit_workers(pid_t pid, pid_t *pids, unsigned max);
/** Wait until it has exactly this many children that are ready to serve (their thread names are set). */
void kit_wait_children(pid_t pid, unsigned count);
/** Reap what came here from dead parents; fails if something still runs after `timeout_ms`. Returns how many. */
unsigned kit_reap_orphans(unsigned timeout_ms);
/** Open descriptors, mappings of rask segments, processor time, of a process. */
unsigned kit_descriptors(pid_t pid);
unsigned kit_mappings(pid_t pid);
uint64_t kit_cpu_ns(pid_t pid);

/* ---- the ledger -------------------------------------------------------------------------------------------------- */

struct kit_ledger {
    struct ledger *book;
    int fd;
    char setting[64]; /* "ledger=PATH" */
    uint32_t next;    /* number of the next request */
};

void kit_ledger_open(struct kit_ledger *ledger);
void kit_ledger_close(struct kit_ledger *ledger);
uint32_t kit_started(const struct kit_ledger *ledger, uint32_t number);
/** Wait until the handler of this request has been entered; the session is polled for callbacks only. */
void kit_wait_started(struct rask *s, const struct kit_ledger *ledger, uint32_t number);

/** Submit one request of `bytes` bytes (at least 8) with the next number; user_data is that number. */
uint64_t kit_submit(struct rask *s, struct kit_ledger *ledger, const char *method, uint32_t argument, uint32_t bytes,
                    uint64_t deadline_ns);
/** The payload of a request: the same for the same number. */
void kit_fill(uint8_t *data, uint32_t number, uint32_t argument, uint32_t bytes);
/** The payload of an OK is what the handler makes of its request. */
void kit_judge_answer(const struct rask_completion *completion);
/** A completion against the ledger: rules B, C and D of the oracle. `bytes` 0: the length is not known. */
void kit_judge(const struct kit_ledger *ledger, const struct rask_completion *completion, uint32_t bytes);
/** Wait for one ticket, at most 5 s (times patience), and judge it. */
void kit_take(struct rask *s, const struct kit_ledger *ledger, uint64_t ticket, struct rask_completion *completion);
/** Call `ok` with a payload of `bytes` bytes: must be OK. */
void kit_call_ok(struct rask *s, struct kit_ledger *ledger, uint32_t bytes);
/** Wait for one ticket, expect this end, judge and release it. */
void kit_expect(struct rask *s, const struct kit_ledger *ledger, uint64_t ticket, uint32_t status, uint32_t executed);

#endif
