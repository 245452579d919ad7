/* SPDX-License-Identifier: MIT */
/* What the kernel or a sandbox refuses, and what is done instead: said once, when a supervisor starts. A private one keeps quiet:
 * `rask doctor` says the same. */
#ifndef RK_FALLBACKS_H
#define RK_FALLBACKS_H

struct rk_supervisor;

/* Before the first worker starts: they inherit the barrier. */
void rk_fallback_barrier(struct rk_supervisor *supervisor);
/* Once the reactor is there; `why`: what rk_reactor_create() said. */
void rk_fallback_engine(struct rk_supervisor *supervisor, const char *why);

#endif
