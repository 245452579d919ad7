/* SPDX-License-Identifier: MIT */
/* Reads a crash file. Somebody may have edited it, so nothing in it is believed. */
#include "crash_file.h"
#include "error.h"
#include "options.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD_BYTES_MAX 65536u
#define FIRST_LINE "rask crash 1\n"

/* The value of `key`, cut to fit. */
static bool find(const char *head, const char *key, char *value, size_t bytes)
{
    size_t length = strlen(key);
    value[0] = '\0';
    for (const char *line = head; *line; line += strcspn(line, "\n"), line += *line != '\0') {
        if (strncmp(line, key, length) != 0 || strncmp(line + length, ": ", 2) != 0) continue;
        const char *start = line + length + 2;
        snprintf(value, bytes, "%.*s", (int)strcspn(start, "\n"), start);
        return true;
    }
    return false;
}

static uint64_t number(const char *head, const char *key)
{
    char text[32];
    uint64_t value;
    return find(head, key, text, sizeof(text)) && rk_parse_count(text, &value) == 0 ? value : 0;
}

static int read_head(struct rk_crash_file *file, const char *path)
{
    file->head = calloc(1, HEAD_BYTES_MAX + 1);
    if (!file->head) return rk_error(-ENOMEM, "no memory");
    ssize_t bytes = pread(file->fd, file->head, HEAD_BYTES_MAX, 0);
    if (bytes < 0) return rk_error(-errno, "%s: %s", path, strerror(errno));
    if (strncmp(file->head, FIRST_LINE, strlen(FIRST_LINE)) != 0)
        return rk_error(-EINVAL, "%s is not a crash file of this version: its first line is not \"rask crash 1\"",
                        path);
    char *end = strstr(file->head, "\n\n");
    if (!end) return rk_error(-EINVAL, "%s: its head has no end", path);
    end[1] = '\0';
    file->maps_offset = (uint64_t)(end - file->head) + 2;
    return 0;
}

static int check(struct rk_crash_file *file, const char *path)
{
    struct stat facts;
    char exit_code[16];
    const char *head = file->head;
    file->exited = find(head, "exit-code", exit_code, sizeof(exit_code));
    find(head, "method", file->method, sizeof(file->method));
    find(head, "plugin", file->plugin, sizeof(file->plugin));
    find(head, "plugin-path", file->plugin_path, sizeof(file->plugin_path));
    find(head, "signal", file->signal, sizeof(file->signal));
    find(head, "time", file->time, sizeof(file->time));
    file->maps_bytes = number(head, "maps-bytes");
    file->payload_bytes = number(head, "payload-bytes");
    file->request_bytes = number(head, "request-bytes");
    if (fstat(file->fd, &facts) < 0) return rk_error(-errno, "%s: %s", path, strerror(errno));
    uint64_t left = (uint64_t)facts.st_size - file->maps_offset;
    if (file->maps_bytes > left || file->payload_bytes != left - file->maps_bytes)
        return rk_error(-EINVAL, "%s is cut short or changed: %llu bytes follow its head, it names %llu and %llu", path,
                        (unsigned long long)left, (unsigned long long)file->maps_bytes,
                        (unsigned long long)file->payload_bytes);
    file->payload_offset = file->maps_offset + file->maps_bytes;
    return 0;
}

int rk_crash_file_open(struct rk_crash_file *file, const char *path)
{
    struct stat facts;
    *file = (struct rk_crash_file){.fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    if (file->fd < 0) return rk_error(-errno, "%s: %s", path, strerror(errno));
    int result = fstat(file->fd, &facts) == 0 && S_ISREG(facts.st_mode) ? 0 : -EINVAL;
    if (result < 0) rk_error(result, "%s is not a file", path);
    if (result == 0) result = read_head(file, path);
    if (result == 0) result = check(file, path);
    if (result < 0) rk_crash_file_close(file);
    return result;
}

void rk_crash_file_close(struct rk_crash_file *file)
{
    if (file->fd >= 0) close(file->fd);
    free(file->head);
    file->fd = -1;
    file->head = NULL;
}
