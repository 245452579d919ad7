/* SPDX-License-Identifier: MIT */
/* Version of the rask headers. The shared-memory layout and the plugin ABI have numbers of their
 * own: two programs with different versions here work together as long as those agree. */
#ifndef RASK_VERSION_H
#define RASK_VERSION_H

#include <stdint.h> /* a file with nothing but macros is no translation unit of ISO C */

#define RASK_VERSION_MAJOR 0
#define RASK_VERSION_MINOR 1
#define RASK_VERSION_PATCH 0
#define RASK_VERSION "0.1.0"

#endif
