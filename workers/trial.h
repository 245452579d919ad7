/* SPDX-License-Identifier: MIT */
/* A throw-away child for what may crash, hang or leave things behind: a plugin on trial, a probe of the machine. */
#ifndef RK_TRIAL_H
#define RK_TRIAL_H

#include <stddef.h>
#include <stdint.h>

/** Longest record a trial may send. */
#define RK_TRIAL_RECORD_BYTES 2048u

enum rk_trial_end {
    RK_TRIAL_EXITED = 0,    /* number: its exit code */
    RK_TRIAL_SIGNALLED = 1, /* number: the signal */
    RK_TRIAL_HUNG = 2       /* killed when the time was over */
};

struct rk_trial_result {
    enum rk_trial_end end;
    int number;
};

/** Runs in the child; tells its findings with rk_trial_send(). Returning is exit code 0. */
typedef void (*rk_trial_fn)(int socket, void *user);

/** Runs in the parent for every record, in order. The bytes come from a process on trial: check them. */
typedef void (*rk_trial_record_fn)(void *user, const void *record, size_t bytes);

/** Fork, run `body` in the child for at most `timeout_ns`, then kill whatever is left of it and its own children, and
 * reap it. The child has standard output on standard error, nothing on standard input, writes no core file and dies with
 * this process. 0 (see *result) or -errno when it could not be started. The caller has one thread and no
 * other children. */
int rk_trial_run(rk_trial_fn body, rk_trial_record_fn record, void *user, uint64_t timeout_ns,
                 struct rk_trial_result *result);

/** In the child: send one record of at most RK_TRIAL_RECORD_BYTES bytes. */
void rk_trial_send(int socket, const void *record, size_t bytes);

/** "crashed with SIGSEGV (Segmentation fault)", "ended itself with exit code 3", "did not end in time". Returns `text`. */
const char *rk_trial_text(const struct rk_trial_result *result, char *text, size_t bytes);

#endif
