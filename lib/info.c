/* SPDX-License-Identifier: MIT */
/* What a session knows about itself and its supervisor, and where the default socket is. */
#include "error.h"
#include "lease.h"
#include "session.h"
#include "stream.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int rask_method(const struct rask *s, const char *name)
{
    if (rk_session_forked(s)) return rk_session_refuse_child();
    for (uint32_t i = 0; i < s->method_count; i++)
        if (strcmp(s->methods[i].name, name) == 0) return (int)i;
    return rk_error(-ENOENT, "plugin \"%s\" has no method \"%s\"", s->plugin, name);
}

const char *rask_method_name(const struct rask *s, uint32_t id)
{
    return id < s->method_count ? s->methods[id].name : NULL;
}

const char *rask_method_summary(const struct rask *s, uint32_t id)
{
    return id < s->method_count ? s->methods[id].summary : NULL;
}

static uint64_t bytes_mapped(const struct rask *s)
{
    uint64_t bytes = s->bell.bytes + s->control.bytes;
    for (uint32_t i = 0; i < RK_SEGMENTS_MAX; i++) bytes += s->request[i].bytes;
    for (uint32_t i = 0; i < s->open_count; i++)
        for (uint32_t j = 0; j < RK_SEGMENTS_MAX; j++) bytes += s->lanes[s->open_lanes[i]].mapped->segment[j].bytes;
    return bytes;
}

static uint32_t streams_count(const struct rask *s)
{
    uint32_t count = 0;
    for (uint32_t i = 0; s->streams != NULL && i < RASK_STREAMS_MAX; i++) count += s->streams->at[i] != NULL;
    return count;
}

static uint64_t streams_backlog(const struct rask *s)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; s->streams != NULL && i < RASK_STREAMS_MAX; i++)
        if (s->streams->at[i] != NULL) sum += s->streams->at[i]->backlog;
    return sum;
}

int rask_info(const struct rask *s, struct rask_info *info)
{
    if (rk_session_forked(s)) return rk_session_refuse_child();
    if (info->size != sizeof *info)
        return rk_error(-EINVAL, "rask_info: size is %u, this library expects %zu", info->size, sizeof *info);
    *info = (struct rask_info){
        .size = sizeof *info,
        .workers = s->workers,
        .lanes_open = s->open_count,
        .wait_mode = s->ladder.mode,
        .worker_wait_mode = s->worker_wait_mode,
        .spin_budget_ns = s->ladder.budget_ns,
        .payload_bytes_max = s->params.payload_bytes_max,
        .supervisor_pid = s->supervisor_pid,
        .bytes_mapped = bytes_mapped(s),
        .rescues = s->rescues,
        .parks = s->parks,
        .requests = s->requests,
        .moved = s->moved,
        .streams = streams_count(s),
        .leases = s->leases != NULL ? s->leases->count : 0,
        .stream_backlog = streams_backlog(s),
        .leased_bytes = s->leases != NULL ? s->leases->bytes : 0,
    };
    memcpy(info->plugin, s->plugin, sizeof info->plugin);
    memcpy(info->plugin_version, s->plugin_version, sizeof info->plugin_version);
    memcpy(info->engine, s->engine, sizeof info->engine);
    const char *barrier = s->fence_only   ? "fence-only"
                          : s->fenced     ? "fence"
                          : s->nap.fenced ? "fence (parks)"
                                          : "membarrier";
    snprintf(info->barrier, sizeof info->barrier, "%s", barrier);
    return 0;
}

int rask_stream_state(const struct rask_stream *stream, struct rask_stream_state *state)
{
    if (state->size != sizeof *state)
        return rk_error(-EINVAL, "stream state: size is %u, this library expects %zu", state->size, sizeof *state);
    *state = (struct rask_stream_state){
        .size = sizeof *state,
        .ended = stream->phase == RK_STREAM_OVER,
        .status = stream->phase == RK_STREAM_OVER ? stream->status : RASK_OK,
        .code = stream->phase == RK_STREAM_OVER ? stream->code : 0,
        .backlog = stream->backlog,
        .backlog_bytes = stream->backlog_bytes,
        .sent = stream->sent,
        .processed = stream->processed,
        .dropped = stream->dropped,
        .answers = stream->answered,
        .waiting = stream->waiting_answers,
    };
    return 0;
}

const char *rask_crash_file(const struct rask *s)
{
    return rk_session_forked(s) ? "" : s->crash_file;
}

int rask_default_socket(char *buffer, size_t bytes)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    int length;
    if (geteuid() == 0)
        length = snprintf(buffer, bytes, "/run/rask/default.sock");
    else if (runtime != NULL && runtime[0] == '/')
        length = snprintf(buffer, bytes, "%s/rask/default.sock", runtime);
    else
        length = snprintf(buffer, bytes, "/tmp/rask-%u/default.sock", (unsigned)geteuid());
    return length >= 0 && (size_t)length < bytes ? 0 : rk_error(-ENAMETOOLONG, "the default socket's path is too long");
}
