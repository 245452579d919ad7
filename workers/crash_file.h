/* SPDX-License-Identifier: MIT */
/* A crash file, read back. The format is in docs/crashes.md: lines `key: value`, an empty line, the map, the payload. */
#ifndef RK_CRASH_FILE_H
#define RK_CRASH_FILE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

struct rk_crash_file {
    int fd;
    char *head; /* as it stands in the file, zero-terminated */
    uint64_t maps_bytes;
    uint64_t payload_bytes;
    uint64_t request_bytes; /* how long the request was */
    uint64_t maps_offset;
    uint64_t payload_offset;
    char method[128]; /* empty: no request was in hand */
    char plugin[64];
    char plugin_path[PATH_MAX];
    char signal[96]; /* "11 SIGSEGV (...)", or empty: it exited */
    bool exited;
    char time[40];
};

/** Open and check one. 0, or -errno with a sentence in rask_last_error(). */
int rk_crash_file_open(struct rk_crash_file *file, const char *path);
void rk_crash_file_close(struct rk_crash_file *file);

#endif
