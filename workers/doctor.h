/* SPDX-License-Identifier: MIT */
/* The probes of rask doctor. Each tries the real thing, through the same functions that rask uses, in a throw-away
 * child: it may crash or hang without harm. */
#ifndef RK_DOCTOR_H
#define RK_DOCTOR_H

#include <stddef.h>
#include <stdint.h>

enum rk_finding_state {
    RK_FINDING_FINE = 0,
    RK_FINDING_WEAK = 1,   /* rask works without it, with less */
    RK_FINDING_MISSING = 2 /* rask cannot work */
};

/** What a probe found out. Travels from the child to the parent as it is. */
struct rk_finding {
    uint32_t state;   /* enum rk_finding_state */
    char value[48];   /* one word for programs: "uring", "2", "yes" */
    char text[512];   /* for people */
    char advice[512]; /* what to change; empty: nothing */
};

/** Fill in state, value and text. */
__attribute__((format(printf, 4, 5))) void rk_found(struct rk_finding *finding, enum rk_finding_state state,
                                                    const char *value, const char *format, ...);
/** Say what to change. */
__attribute__((format(printf, 2, 3))) void rk_advise(struct rk_finding *finding, const char *format, ...);

typedef void (*rk_probe_fn)(struct rk_finding *finding);

/* The machine (doctor_machine.c). */
void rk_probe_kernel(struct rk_finding *finding);
void rk_probe_cpus(struct rk_finding *finding);
void rk_probe_caches(struct rk_finding *finding);
void rk_probe_limits(struct rk_finding *finding);
void rk_probe_memory(struct rk_finding *finding);
void rk_probe_clock(struct rk_finding *finding);

/* What the kernel lets us do (doctor_kernel.c). */
void rk_probe_memfd(struct rk_finding *finding);
void rk_probe_populate(struct rk_finding *finding);
void rk_probe_pidfd(struct rk_finding *finding);
void rk_probe_io_uring(struct rk_finding *finding);
void rk_probe_uring_futex(struct rk_finding *finding);

/* Waiting (doctor_wait.c). */
void rk_probe_futex(struct rk_finding *finding);
void rk_probe_futex_waitv(struct rk_finding *finding);
void rk_probe_membarrier(struct rk_finding *finding);
void rk_probe_wait_mode(struct rk_finding *finding);

/* All of it together (doctor_service.c). */
void rk_probe_engine(struct rk_finding *finding);
void rk_probe_socket(struct rk_finding *finding);
void rk_probe_call(struct rk_finding *finding);

#endif
