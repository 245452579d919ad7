/* SPDX-License-Identifier: MIT */
/* What a status says about execution, for the two sides of a lane. */
#ifndef RK_STATUS_H
#define RK_STATUS_H

#include <rask/status.h>

/** What a status that a worker published says about execution; the client adds what it knows itself. */
uint32_t rk_status_executed(uint32_t status);

#endif
