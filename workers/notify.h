/* SPDX-License-Identifier: MIT */
/* Tells a service manager about the supervisor's state; see notify.c. */
#ifndef RK_NOTIFY_H
#define RK_NOTIFY_H

/** Take the address from the environment and remove it there. */
void rk_notify_init(void);
/** "READY=1", "RELOADING=1", "STOPPING=1". Never blocks, never fails. */
void rk_notify(const char *state);

#endif
