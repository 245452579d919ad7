/* SPDX-License-Identifier: MIT */
/* Everything a program that calls handlers needs. A handler includes <rask/plugin.h> instead. */
#ifndef RASK_RASK_H
#define RASK_RASK_H

#include <rask/client.h>
#include <rask/lease.h>
#include <rask/limits.h>
#include <rask/status.h>
#include <rask/stream.h>
#include <rask/upcall.h>
#include <rask/version.h>

#endif
