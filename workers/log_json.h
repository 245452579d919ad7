/* SPDX-License-Identifier: MIT */
/* One log line as a JSON object. */
#ifndef RK_LOG_JSON_H
#define RK_LOG_JSON_H

#include <stddef.h>
#include <stdint.h>

struct rk_log_record {
    const char *level;
    const char *who;
    const char *event;
    const char *message;
    uint32_t about;   /* worker, or UINT32_MAX: none */
    uint32_t speaker; /* worker that writes the line, or UINT32_MAX: the supervisor */
};

/** Write it without a newline; a message too long for `room` is cut. Returns the bytes used. */
size_t rk_log_json(char *line, size_t room, const struct rk_log_record *record);

#endif
