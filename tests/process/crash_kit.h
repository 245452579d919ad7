/* SPDX-License-Identifier: MIT */
/* Crashes on purpose, and the files that they leave. */
#ifndef RK_TEST_CRASH_KIT_H
#define RK_TEST_CRASH_KIT_H

#include "crash_file.h"
#include "kit.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct kit_server server;
static char folder[64], dir[96];

static inline void start_with(const char *plugin, const char *more, const char *value)
{
    snprintf(folder, sizeof(folder), "/tmp/rask-crash-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(dir, sizeof(dir), "%s/crashes", folder);
    kit_start(&server, "--plugin", plugin, "--poison-ttl", "0", "--crash-dir", dir, more, value, NULL);
}

static inline void start(const char *more, const char *value)
{
    start_with(kit_plugin("crasher"), more, value);
}

/* Names in the directory, sorted; all of them, the unfinished, too. */
static inline unsigned files(char paths[][512], unsigned max)
{
    struct dirent **entries;
    unsigned count = 0;
    int found = scandir(dir, &entries, NULL, alphasort);
    for (int i = 0; i < found; i++) {
        bool counts = strcmp(entries[i]->d_name, ".") != 0 && strcmp(entries[i]->d_name, "..") != 0;
        if (counts && count < max && paths) snprintf(paths[count], 512, "%s/%s", dir, entries[i]->d_name);
        count += counts;
        free(entries[i]);
    }
    if (found >= 0) free(entries);
    return count;
}

static inline void wait_for_file(const char *path)
{
    for (unsigned i = 0; i < 5000 && access(path, F_OK) < 0; i++) kit_pause_ms(1);
    if (access(path, F_OK) < 0) fail_msg("%s does not appear", path);
}

/* Until the last crash is written and the child that wrote it is gone. */
static inline void settle(struct rask *s)
{
    wait_for_file(rask_crash_file(s));
    kit_wait_children(server.pid, 1);
}

static inline void stop(void)
{
    char paths[64][512];
    kit_stop(&server);
    unsigned count = files(paths, 64);
    for (unsigned i = 0; i < count && i < 64; i++) unlink(paths[i]);
    rmdir(dir);
    assert_int_equal(rmdir(folder), 0);
}

static inline void crash(struct rask *s, const char *method, const void *data, size_t bytes)
{
    struct rask_completion completion;
    int error = rask_call(s, (uint32_t)rask_method(s, method), data, bytes, 10 * KIT_S, &completion);
    assert_int_equal(error, -EREMOTE); /* CRASHED */
    rask_release(s, &completion);
}

/* The file that the session was told of, opened. */
static inline void open_told(struct rask *s, struct rk_crash_file *file)
{
    const char *path = rask_crash_file(s);
    assert_string_not_equal(path, "");
    wait_for_file(path);
    if (rk_crash_file_open(file, path) < 0) fail_msg("%s", rask_last_error());
}

static inline void put_away(struct rask *s, struct rk_crash_file *file)
{
    rk_crash_file_close(file);
    settle(s);
}

static inline void expect_line(const struct rk_crash_file *file, const char *line)
{
    if (!strstr(file->head, line)) fail_msg("\"%s\" is not in\n%s", line, file->head);
}

static inline void expect_payload(const struct rk_crash_file *file, const uint8_t *data, size_t bytes)
{
    uint8_t *stored = malloc(bytes + 1);
    assert_non_null(stored);
    assert_int_equal(file->request_bytes, bytes);
    assert_int_equal(file->payload_bytes, bytes);
    assert_int_equal(pread(file->fd, stored, bytes + 1, (off_t)file->payload_offset), bytes);
    assert_memory_equal(stored, data, bytes);
    free(stored);
}

/* Other requests, many at a time, so that what comes next lies somewhere in the ring. */
static inline void move_on(struct rask *s, unsigned count)
{
    struct rask_request request;
    struct rask_completion completion;
    unsigned taken = 0;
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(rask_reserve(s, i % 2 ? 32 : 500, &request), 0);
        memset(request.data, 'x', i % 2 ? 32 : 500);
        assert_int_equal(rask_submit(s, &request, (uint32_t)rask_method(s, "echo"), i % 2 ? 32 : 500, NULL), 0);
        if (i % 16 == 0) kit_pause_ms(1);
    }
    while (taken < count) {
        int more = rask_poll(s, &completion, 1);
        assert_in_range(more, 0, 1);
        if (more == 0) continue;
        taken++;
        assert_int_equal(completion.status, RASK_OK);
        rask_release(s, &completion);
    }
}

#endif
