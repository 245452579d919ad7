/* SPDX-License-Identifier: MIT */
/* Log lines as JSON: {"time":...,"level":...,"process":...,"pid":...,"worker":...,"event":...,"message":...}. */
#include "log_json.h"
#include "json.h"
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *time_text(char *text, size_t bytes)
{
    struct timespec now;
    struct tm parts;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    size_t used = strftime(text, bytes, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text + used, bytes - used, ".%06ldZ", now.tv_nsec / 1000);
    return text;
}

static json_t *build(const struct rk_log_record *record, const char *message)
{
    char time[40];
    json_t *worker = record->about == UINT32_MAX ? json_null() : json_integer(record->about);
    return json_pack("{s:s, s:s, s:s, s:I, s:o, s:s, s:o}", "time", time_text(time, sizeof time), "level",
                     record->level, "process", record->speaker == UINT32_MAX ? "supervisor" : "worker", "pid",
                     (json_int_t)getpid(), "worker", worker, "event", record->event, "message", rk_json_text(message));
}

/** 0: out of memory, which the line says in the shortest way, or over `room`. */
static size_t try(char *line, size_t room, const struct rk_log_record *record, const char *message)
{
    json_t *object = build(record, message);
    size_t used = object ? json_dumpb(object, line, room, JSON_COMPACT) : 0;
    json_decref(object);
    return used <= room ? used : 0;
}

size_t rk_log_json(char *line, size_t room, const struct rk_log_record *record)
{
    char message[1024];
    snprintf(message, sizeof message, "%s", record->message);
    for (size_t length = strlen(message);; length /= 2) {
        message[length] = '\0';
        size_t used = try(line, room, record, message);
        if (used > 0) return used;
        if (length == 0) break;
    }
    int used = snprintf(line, room, "{\"level\":\"error\",\"message\":\"out of memory\"}");
    return used > 0 && (size_t)used < room ? (size_t)used : 0;
}
