/* SPDX-License-Identifier: MIT */
/* The command line that all four share. See perf.h. */
#include "options.h"
#include "perf.h"
#include <rask/limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SCHEME "ipc://"

void perf_complain(const struct perf_line *line, const char *format, ...)
{
    va_list arguments;
    fprintf(stderr, "%s: ", line->program);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

/** "ipc://PATH" or "PATH". */
static bool parse_endpoint(struct perf_line *line, const char *text)
{
    const char *path = strncmp(text, SCHEME, strlen(SCHEME)) == 0 ? text + strlen(SCHEME) : text;
    if (strstr(path, "://") != NULL) {
        perf_complain(line, "\"%s\": rask stays on one machine: use ipc://PATH", text);
        return false;
    }
    if (*path == '\0' || strlen(path) >= 100) {
        perf_complain(line, "\"%s\": the path of a socket has 1 to 99 bytes: use ipc://PATH", text);
        return false;
    }
    snprintf(line->path, sizeof line->path, "%s", path);
    return true;
}

bool perf_parse(struct perf_line *line, int argc, char **argv, const char *usage)
{
    const char *name = strrchr(argv[0], '/');
    *line = (struct perf_line){.program = name != NULL ? name + 1 : argv[0]};
    if (argc != 4) {
        printf("usage: %s %s\n", line->program, usage);
        return false;
    }
    if (!parse_endpoint(line, argv[1])) return false;
    if (rk_parse_count(argv[2], &line->size) != 0 || line->size > RASK_PAYLOAD_BYTES_MAX_LIMIT) {
        perf_complain(line, "message size \"%s\": use 0 to %u bytes", argv[2], RASK_PAYLOAD_BYTES_MAX_LIMIT);
        return false;
    }
    if (rk_parse_count(argv[3], &line->count) != 0 || line->count == 0 || line->count > INT32_MAX) {
        perf_complain(line, "count \"%s\": use 1 to %d", argv[3], INT32_MAX);
        return false;
    }
    return true;
}
