/* SPDX-License-Identifier: MIT */
/* Composes a crash file, in a short-lived child. Two sources: the record that the worker left, which is exact, and where
 * there is none (SIGKILL, exit) the status page and the client's own memory, which the client may have used again. Both
 * are hostile; everything is copied with pread() and checked. The format is in docs/crashes.md. */
#include "crash.h"
#include "error.h"
#include "exit_codes.h"
#include "spawn.h"
#include "supervisor_state.h"
#include <errno.h>
#include <inttypes.h>
#include <rask/version.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct capture {
    const struct rk_supervisor *supervisor;
    const struct rk_crash_job *job;
    struct rk_crash_record record; /* signal 0: the worker wrote nothing */
    char *maps;                    /* zero-terminated */
    uint8_t *payload;
    uint64_t payload_bytes;
    uint64_t request_bytes;
    const char *source;
    FILE *head;
};

static bool read_all(int fd, void *data, uint64_t bytes, uint64_t offset)
{
    uint64_t done = 0;
    while (done < bytes) {
        ssize_t more = pread(fd, (uint8_t *)data + done, bytes - done, (off_t)(offset + done));
        if (more < 0 && errno == EINTR) continue;
        if (more <= 0) return false;
        done += (uint64_t)more;
    }
    return true;
}

static bool take_payload(struct capture *capture, int fd, uint64_t offset, uint64_t bytes)
{
    capture->payload = bytes > 0 ? malloc(bytes) : NULL;
    bool complete = bytes == 0 || (capture->payload && read_all(fd, capture->payload, bytes, offset));
    capture->payload_bytes = complete ? bytes : 0;
    return complete;
}

/* ---- from the record --------------------------------------------------------------------------------------------- */

static void sane(struct rk_crash_record *record, uint64_t payload_bytes_max)
{
    if (record->frame_count > RK_CRASH_FRAMES_MAX) record->frame_count = RK_CRASH_FRAMES_MAX;
    if (record->build_id_bytes > RK_CRASH_BUILD_ID_MAX) record->build_id_bytes = 0;
    if (record->maps_bytes > RK_CRASH_MAPS_BYTES_MAX) record->maps_bytes = 0;
    if (record->payload_bytes > payload_bytes_max) record->payload_bytes = payload_bytes_max;
    if (record->payload_bytes > record->request_bytes) record->payload_bytes = record->request_bytes;
}

/* The map is text; what is not, a plugin forged. */
static void take_maps(struct capture *capture)
{
    uint64_t bytes = capture->record.maps_bytes;
    capture->maps = calloc(1, bytes + 1);
    if (!capture->maps) return;
    if (!read_all(capture->job->record_fd, capture->maps, bytes, RK_CRASH_MAPS_OFFSET)) capture->maps[0] = '\0';
    for (uint64_t i = 0; i < bytes; i++)
        if ((unsigned char)capture->maps[i] < ' ' && capture->maps[i] != '\n') capture->maps[i] = '?';
}

static void from_record(struct capture *capture)
{
    struct rk_crash_record *record = &capture->record;
    if (!read_all(capture->job->record_fd, record, sizeof(*record), 0) || record->magic != RK_CRASH_MAGIC) {
        memset(record, 0, sizeof(*record));
        return;
    }
    sane(record, capture->supervisor->config->crash.payload_bytes_max);
    if (record->signal == 0) return;
    take_maps(capture);
    if (!capture->job->in_handler) return;
    capture->request_bytes = record->request_bytes;
    capture->source = take_payload(capture, capture->job->record_fd, RK_CRASH_PAYLOAD_OFFSET, record->payload_bytes)
                          ? "the worker, at the moment of the signal"
                          : "none, it could not be read";
}

/* ---- from the client's memory ------------------------------------------------------------------------------------ */

static bool find_slot(const struct rk_crash_job *job, struct rk_request_slot *slot)
{
    for (uint32_t i = 0; i < job->slots; i++) {
        if (!read_all(job->record_fd, slot, sizeof(*slot), RK_CRASH_RING_OFFSET + i * sizeof(*slot))) return false;
        bool same = (uint32_t)(slot->sequence - 1) == job->position && slot->ticket == job->ticket;
        if (same && slot->sequence != 0 && slot->method == job->method) return true;
    }
    return false;
}

static bool from_slot(struct capture *capture, const struct rk_client *client, const struct rk_request_slot *slot)
{
    uint64_t bytes = slot->length, limit = capture->supervisor->config->crash.payload_bytes_max;
    if (bytes > client->params.payload_bytes_max) return false;
    capture->request_bytes = bytes;
    if (bytes > limit) bytes = limit;
    if (slot->length <= RASK_INLINE_BYTES) {
        capture->payload = malloc(RASK_INLINE_BYTES);
        if (!capture->payload) return false;
        memcpy(capture->payload, slot->payload.bytes, bytes);
        capture->payload_bytes = bytes;
        return true;
    }
    uint32_t segment = slot->payload.block.segment;
    if (segment >= RK_SEGMENTS_MAX) return false;
    const struct rk_fd *fd = segment == 0 ? client->request : client->extra[segment];
    return fd && slot->payload.block.offset <= INT64_MAX - bytes &&
           take_payload(capture, fd->fd, slot->payload.block.offset, bytes);
}

static void from_memory(struct capture *capture)
{
    const struct rk_crash_job *job = capture->job;
    struct rk_client *client = rk_client_find((struct rk_supervisor *)(uintptr_t)capture->supervisor, job->session);
    struct rk_request_slot slot;
    capture->source = "none, the client is gone";
    if (!client || !client->request || !find_slot(job, &slot) || !from_slot(capture, client, &slot)) return;
    capture->source = slot.length <= RASK_INLINE_BYTES
                          ? "the client's memory, before it was told of the death"
                          : "the client's memory after the death; the client may have used it again";
}

/* ---- the text ---------------------------------------------------------------------------------------------------- */

/* Found from every folder, as long as it is still there. */
static const char *plugin_file(const struct capture *capture, char path[PATH_MAX])
{
    const char *real = realpath(capture->job->plugin->path, path);
    return real ? real : capture->job->plugin->path;
}

/* The file whose mapping holds `address`, and how far the address is into it. */
static bool find_module(const struct capture *capture, uint64_t address, char *path, size_t path_bytes,
                        uint64_t *offset)
{
    static const char copy[] = "/memfd:plugin:"; /* generation.c */
    char found[512] = "", last[512] = "", real[PATH_MAX];
    uint64_t base = 0;
    for (const char *line = capture->maps; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        uint64_t start, end;
        int name = 0;
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %*s %*s %*s%n", &start, &end, &name) < 2 || name == 0) continue;
        const char *text = line + name + strspn(line + name, " ");
        snprintf(found, sizeof(found), "%.*s", (int)strcspn(text, "\n"), text);
        if (strcmp(found, last) != 0) base = start;
        memcpy(last, found, sizeof(last));
        if (address < start || address >= end) continue;
        bool plugin = strncmp(found, copy, strlen(copy)) == 0;
        snprintf(path, path_bytes, "%s", plugin ? plugin_file(capture, real) : found);
        *offset = address - base;
        return found[0] != '\0';
    }
    return false;
}

static void put_frames(struct capture *capture)
{
    const struct rk_crash_record *record = &capture->record;
    for (uint32_t i = 0; i < record->frame_count; i++) {
        char path[PATH_MAX];
        uint64_t offset;
        if (capture->maps && find_module(capture, record->frame[i], path, sizeof(path), &offset))
            fprintf(capture->head, "frame: 0x%" PRIx64 " %s+0x%" PRIx64 "\n", record->frame[i], path, offset);
        else
            fprintf(capture->head, "frame: 0x%" PRIx64 "\n", record->frame[i]);
    }
}

static void put_death(struct capture *capture)
{
    const struct rk_crash_record *record = &capture->record;
    const struct rk_crash_job *job = capture->job;
    char text[64];
    if (job->signal != 0)
        fprintf(capture->head, "signal: %d %s\n", job->signal, rk_signal_text(job->signal, text, sizeof(text)));
    else
        fprintf(capture->head, "exit-code: %d\n", job->exit_code);
    fprintf(capture->head, "record: %s\n", record->signal != 0 ? "yes" : "no, the worker could not write one");
    if (record->signal == 0) return;
    if (record->signal != job->signal) fprintf(capture->head, "first-signal: %d\n", record->signal);
    fprintf(capture->head, "signal-code: %d\n", record->code);
    if (record->code > 0) fprintf(capture->head, "fault-address: 0x%" PRIx64 "\n", record->fault_address);
    fprintf(capture->head, "pc: 0x%" PRIx64 "\nsp: 0x%" PRIx64 "\nfp: 0x%" PRIx64 "\n", record->pc, record->sp,
            record->fp);
    fprintf(capture->head, "thread: %u%s\n", record->thread,
            record->other_thread ? " (not the one that runs handlers)" : "");
    put_frames(capture);
}

/* Names and paths may hold anything but would end their line. */
static void put_line(FILE *file, const char *key, const char *value, size_t bytes_max)
{
    fprintf(file, "%s: ", key);
    for (size_t i = 0; i < bytes_max && value[i] != '\0'; i++)
        putc((unsigned char)value[i] < ' ' ? '?' : value[i], file);
    putc('\n', file);
}

static void put_plugin(struct capture *capture)
{
    const struct rk_crash_job *job = capture->job;
    const struct rk_message_ready *plugin = &job->plugin->table;
    char path[PATH_MAX];
    put_line(capture->head, "plugin", plugin->plugin, sizeof(plugin->plugin));
    put_line(capture->head, "plugin-version", plugin->plugin_version, sizeof(plugin->plugin_version));
    put_line(capture->head, "plugin-path", plugin_file(capture, path), PATH_MAX);
    if (capture->record.build_id_bytes == 0) return;
    fprintf(capture->head, "plugin-build-id: ");
    for (uint32_t i = 0; i < capture->record.build_id_bytes; i++)
        fprintf(capture->head, "%02x", capture->record.build_id[i]);
    putc('\n', capture->head);
}

static void put_request(struct capture *capture)
{
    const struct rk_crash_job *job = capture->job;
    const struct rk_message_ready *plugin = &job->plugin->table;
    if (!job->in_handler) return;
    if (job->method < plugin->method_count && job->method < RASK_METHODS_MAX)
        put_line(capture->head, "method", plugin->entry[job->method].name, sizeof(plugin->entry[0].name));
    fprintf(capture->head, "method-id: %u\nsession: %u\nrequest-bytes: %" PRIu64 "\npayload-source: %s\n", job->method,
            job->session, capture->request_bytes,
            capture->supervisor->config->crash.payload_bytes_max > 0 ? capture->source : "none, --crash-payload 0");
}

static void put_head(struct capture *capture)
{
    const struct rk_crash_job *job = capture->job;
    time_t seconds = (time_t)(job->time_ns / 1000000000u);
    struct tm calendar;
    char when[32] = "";
    if (gmtime_r(&seconds, &calendar)) strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &calendar);
    fprintf(capture->head, "rask crash 1\ntime: %s.%06uZ\nrask: %s\nworker: %u\ngeneration: %u\npid: %d\n", when,
            (unsigned)(job->time_ns / 1000u % 1000000u), RASK_VERSION, job->worker, job->generation, (int)job->pid);
    put_plugin(capture);
    put_death(capture);
    put_request(capture);
    fprintf(capture->head, "maps-bytes: %zu\npayload-bytes: %" PRIu64 "\n\n", capture->maps ? strlen(capture->maps) : 0,
            capture->payload_bytes);
}

int rk_crash_write(const struct rk_supervisor *supervisor, const struct rk_crash_job *job, const char *path)
{
    struct capture capture = {.supervisor = supervisor, .job = job, .source = "none"};
    char *text = NULL;
    size_t text_bytes = 0;
    if (job->record_fd >= 0) from_record(&capture);
    if (job->in_handler && capture.record.signal == 0) from_memory(&capture);
    rk_close_others(-1, -1); /* nobody must wait for this process */
    capture.head = open_memstream(&text, &text_bytes);
    if (!capture.head) return rk_error(-ENOMEM, "no memory");
    put_head(&capture);
    if (fclose(capture.head) != 0 || !text) return rk_error(-ENOMEM, "no memory");
    const struct rk_crash_part parts[] = {{text, text_bytes},
                                          {capture.maps, capture.maps ? strlen(capture.maps) : 0},
                                          {capture.payload, capture.payload_bytes}};
    return rk_crash_store(&supervisor->config->crash, strrchr(path, '/') + 1, parts, 3);
}
