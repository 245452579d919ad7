/* SPDX-License-Identifier: MIT */
/* Opening and closing a session: options, connect, clone, reconnect, close. The handshake is in attach.c. */
#include "batch.h"
#include "clock.h"
#include "error.h"
#include "events.h"
#include "launch.h"
#include "lease.h"
#include "session.h"
#include "stream.h"
#include "upcall.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define SEND_TIMEOUT_NS 100000000u

/** The control word of a session that is not attached. */
static const uint32_t no_news;

static void fill_defaults(struct rask_options *o)
{
    if (o->ring_slots == 0) o->ring_slots = RASK_RING_SLOTS_DEFAULT;
    if (o->queue_max == 0) o->queue_max = RASK_QUEUE_MAX_DEFAULT;
    if (o->payload_bytes_max == 0) o->payload_bytes_max = RASK_PAYLOAD_BYTES_MAX_DEFAULT;
    if (o->slab_bytes == 0) o->slab_bytes = RASK_SLAB_BYTES_DEFAULT;
    if (o->slab_bytes_max == 0) {
        /* Room for a few of the largest payloads that were asked for. */
        uint64_t enough = 4 * rk_class_bytes(rk_class_of(o->payload_bytes_max)) + o->slab_bytes;
        o->slab_bytes_max = enough > RASK_SLAB_BYTES_MAX_DEFAULT ? enough : RASK_SLAB_BYTES_MAX_DEFAULT;
        if (o->slab_bytes_max < o->slab_bytes) o->slab_bytes_max = o->slab_bytes;
    }
    if (o->connect_timeout_ns == 0) o->connect_timeout_ns = RASK_CONNECT_TIMEOUT_NS_DEFAULT;
}

static struct rk_params params_of(const struct rask_options *o)
{
    return (struct rk_params){
        .ring_slots = o->ring_slots,
        .payload_bytes_max = o->payload_bytes_max,
        .slab_bytes = o->slab_bytes,
        .slab_bytes_max = o->slab_bytes_max,
    };
}

static int options_check(const struct rask_options *options, struct rask_options *full)
{
    *full = (struct rask_options)RASK_OPTIONS_INIT;
    if (options != NULL) {
        if (options->size != sizeof *options)
            return rk_error(-EINVAL, "options: size is %u, this library expects %zu: start from RASK_OPTIONS_INIT",
                            options->size, sizeof *options);
        *full = *options;
    }
    if ((full->flags & ~RASK_OPTION_INTERRUPTIBLE) != 0)
        return rk_error(-EINVAL, "options: flags is %#x, of which only RASK_OPTION_INTERRUPTIBLE (%#x) is known",
                        full->flags, RASK_OPTION_INTERRUPTIBLE);
    for (size_t i = 0; i < sizeof full->reserved / sizeof full->reserved[0]; i++)
        if (full->reserved[i] != 0) return rk_error(-EINVAL, "options: reserved[%zu] must be 0", i);
    int mode = rk_wait_mode_resolve(full->wait_mode);
    if (mode < 0) return mode;
    full->wait_mode = (uint32_t)mode;
    fill_defaults(full);
    if (full->queue_max > RASK_QUEUE_MAX_LIMIT)
        return rk_error(-EINVAL, "queue_max is %u: at most %u", full->queue_max, RASK_QUEUE_MAX_LIMIT);
    struct rk_params params = params_of(full);
    return rk_params_check(&params);
}

void rk_session_hang_up(struct rask *s, bool ours)
{
    /* A forked child of the host may hold a copy of the descriptor: the end is said, not only meant. */
    if (ours) rk_events_unwatch(s);
    if (s->socket >= 0 && ours) shutdown(s->socket, SHUT_RDWR);
    if (s->socket >= 0) close(s->socket);
    s->socket = -1;
}

int rk_session_send(struct rask *s, const void *message, const int *fds, unsigned fd_count)
{
    if (s->socket < 0) return -ENOTCONN;
    int result = rk_control_send_within(s->socket, message, fds, fd_count, SEND_TIMEOUT_NS);
    return result == -EAGAIN ? rk_error(result, "the supervisor does not read its socket") : result;
}

int rk_session_create(struct rask **out, const struct rask_options *options)
{
    *out = NULL;
    struct rask_options full;
    int result = options_check(options, &full);
    if (result != 0) return result;
    struct rask *s = aligned_alloc(_Alignof(struct rask) > 64 ? _Alignof(struct rask) : 64, (sizeof *s + 63) / 64 * 64);
    if (s == NULL) return rk_error(-ENOMEM, "out of memory for a session");
    memset(s, 0, sizeof *s);
    s->options = full;
    s->params = params_of(&full);
    s->interruptible = (full.flags & RASK_OPTION_INTERRUPTIBLE) != 0;
    s->socket = -1;
    s->control_word = &no_news;
    s->bell = s->control = (struct rk_segment)RK_SEGMENT_INIT;
    for (uint32_t i = 0; i < RK_SEGMENTS_MAX; i++) s->request[i] = (struct rk_segment)RK_SEGMENT_INIT;
    rk_list_init(&s->backlog);
    rk_list_init(&s->ready);
    rk_list_init(&s->callbacks);
    rk_slab_init(&s->slab, UINT32_MAX / 2);
    rk_ladder_init(&s->ladder, full.wait_mode, 2);
    s->message = malloc(sizeof *s->message);
    s->guard_page = rk_fork_guard_create();
    s->fork_guard = s->guard_page;
    if (s->message == NULL || s->guard_page == NULL || rk_tickets_init(&s->tickets, full.queue_max) != 0) {
        rask_close(s);
        return rk_error(-ENOMEM, "out of memory for a session with queue_max %u", full.queue_max);
    }
    *out = s;
    return 0;
}

/** The default socket is believed only in a folder that nobody else can put one into: requests go to whoever listens there.
 * A path that was named is the caller's decision. */
static int check_folder(const char *path)
{
    char folder[sizeof((struct sockaddr_un *)0)->sun_path];
    struct stat facts;
    snprintf(folder, sizeof folder, "%s", path);
    *strrchr(folder, '/') = '\0';
    if (lstat(folder, &facts) != 0) return 0; /* connecting says it better */
    if (facts.st_uid != geteuid())
        return rk_error(-EPERM,
                        "%s belongs to user %u and not to you (%u): if you trust the supervisor there, name its socket",
                        folder, facts.st_uid, (unsigned)geteuid());
    if (facts.st_mode & (S_IWGRP | S_IWOTH) && !S_ISLNK(facts.st_mode))
        return rk_error(-EPERM, "%s is writable by others (mode %03o): chmod 0700 it, or name another socket", folder,
                        facts.st_mode & 0777);
    return 0;
}

static int dial(const char *path, int *out)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return rk_error(-ENAMETOOLONG, "socket path \"%s\" is over %zu bytes", path, sizeof address.sun_path - 1);
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return rk_error(-errno, "cannot make a socket: %s", strerror(errno));
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        int error = errno == EAGAIN ? EBUSY : errno;
        close(fd);
        return rk_error(-error, "cannot connect to \"%s\": %s", path, strerror(error));
    }
    *out = fd;
    return 0;
}

static int dial_supervisor(const struct rask *s, int *out)
{
    int result = s->path_is_default ? check_folder(s->path) : 0;
    return result == 0 ? dial(s->path, out) : result;
}

static int connect_to(struct rask **out, const char *path, bool path_is_default, const struct rask_options *options)
{
    struct rask *s = NULL;
    int result = rk_session_create(&s, options);
    if (result != 0) return result;
    int socket = -1;
    s->path = strdup(path);
    s->path_is_default = path_is_default;
    result = s->path == NULL ? -ENOMEM : dial_supervisor(s, &socket);
    if (result == 0) result = rk_session_attach(s, socket, rk_deadline_after(s->options.connect_timeout_ns));
    if (result != 0) {
        rask_close(s);
        return result;
    }
    *out = s;
    return 0;
}

int rask_connect(struct rask **out, const char *path, const struct rask_options *options)
{
    char fallback[sizeof((struct sockaddr_un *)0)->sun_path];
    *out = NULL;
    rk_error_clear();
    int result = path == NULL ? rask_default_socket(fallback, sizeof fallback) : 0;
    return result != 0 ? result : connect_to(out, path != NULL ? path : fallback, path == NULL, options);
}

int rask_clone(struct rask *s, struct rask **out)
{
    *out = NULL;
    if (rk_session_forked(s)) return rk_session_refuse_child();
    rk_error_clear();
    if (s->path != NULL) return connect_to(out, s->path, s->path_is_default, &s->options);
    if (!s->connected) return rk_error(-ENOTCONN, "the private supervisor is gone");
    struct rask *clone = NULL;
    int socket = -1;
    int result = rk_session_create(&clone, &s->options);
    if (result == 0) result = rk_launch_adopt(s, &socket);
    if (result == 0) {
        rk_launch_share(clone, s);
        result = rk_session_attach(clone, socket, rk_deadline_after(s->options.connect_timeout_ns));
    }
    if (result != 0) {
        rask_close(clone);
        return result;
    }
    *out = clone;
    return 0;
}

/** Everything of one attachment; tickets stay. In a forked child the mappings do not exist: only memory and descriptors go. */
static void drop_arena(struct rask *s, bool forked)
{
    if (!forked) rk_batch_flush(s);
    rk_events_detach(s, !forked);
    for (uint32_t i = 0; s->lanes != NULL && i < s->params.lanes; i++) {
        if (!forked) rk_leases_died(s, &s->lanes[i]);
        if (s->lanes[i].upcall_due) s->asides_due--;
        rk_lane_finish(&s->lanes[i], !forked);
    }
    rk_session_hang_up(s, !forked);
    for (uint32_t i = 0; i < RK_SEGMENTS_MAX; i++) {
        if (forked) s->request[i].base = NULL;
        rk_segment_finish(&s->request[i]);
    }
    if (forked) s->bell.base = s->control.base = NULL;
    rk_segment_finish(&s->bell);
    rk_segment_finish(&s->control);
    rk_slab_finish(&s->slab);
    rk_slab_init(&s->slab, UINT32_MAX / 2);
    free(s->lanes);
    free(s->open_lanes);
    free(s->lane_memory);
    s->lanes = NULL;
    s->open_lanes = NULL;
    s->lane_memory = NULL;
    s->open_count = s->opening = s->turn = s->late_untold = 0;
    free(s->keys);
    s->keys = NULL;
    free(s->poisons);
    s->poisons = NULL;
    s->tickets.flags = 0;
    memset(s->has_lane, 0, sizeof s->has_lane);
    s->params.lanes = 0;
    s->header = NULL;
    s->client_bell = NULL;
    s->control_word = &no_news;
    s->control_seen = 0;
}

/** End every request of the old attachment and let go of what its blocks and lanes were. */
static int end_old_attachment(struct rask *s)
{
    for (uint32_t i = 0; i < s->tickets.fresh; i++)
        if (s->tickets.table[i].state == RK_TICKET_RESERVED && !(s->tickets.table[i].wishes & RK_WISH_STREAM))
            return rk_error(-EBUSY, "ticket %#llx is still reserved: abandon reservations before rask_reconnect()",
                            (unsigned long long)s->tickets.table[i].id);
    rk_settle_end(s, "reconnecting");
    for (uint32_t i = 0; i < s->tickets.fresh; i++) {
        struct rk_ticket *ticket = &s->tickets.table[i];
        if (ticket->state == RK_TICKET_FREE) continue;
        ticket->flags &= (uint8_t)~RK_TICKET_LANE_HOLDS;
        ticket->wishes = 0;            /* no lane, so no key is bound */
        ticket->block = RK_BLOCK_NONE; /* goes with its segment */
        if (ticket->flags & RK_TICKET_ORPHAN) rk_ticket_drop(s, ticket);
    }
    return 0;
}

int rask_reconnect(struct rask *s)
{
    if (rk_session_forked(s)) return rk_session_refuse_child();
    if (s->path == NULL) return rk_error(-ENOTSUP, "a private supervisor has no successor: rask_spawn() another one");
    rk_session_control(s);
    if (s->connected && !s->shutting_down) return rk_error(-EALREADY, "the session is still connected");
    int result = end_old_attachment(s);
    if (result != 0) return result;
    drop_arena(s, false);
    s->ended = false;
    int socket = -1;
    if ((result = dial_supervisor(s, &socket)) != 0) return result;
    result = rk_session_attach(s, socket, rk_deadline_after(s->options.connect_timeout_ns));
    if (result == 0) result = rk_events_attach(s);
    if (result != 0) drop_arena(s, false);
    return result;
}

static void drop_views(struct rk_tickets *tickets)
{
    for (uint32_t i = 0; i < tickets->fresh; i++)
        if (tickets->table[i].state != RK_TICKET_FREE && tickets->table[i].view_of != NULL)
            rk_responses_release(tickets->table[i].view_of, RK_BLOCK_NONE, 0);
}

void rask_close(struct rask *s)
{
    if (s == NULL) return;
    bool forked = s->fork_guard != NULL && rk_session_forked(s);
    if (!forked) drop_views(&s->tickets);
    rk_streams_destroy(s, forked);
    drop_arena(s, forked);
    rk_leases_destroy(s);
    free(s->upcalls);
    rk_events_finish(s, !forked);
    rk_batch_finish(s, !forked);
    if (!forked) rk_launch_release(s->launch);
    rk_fork_guard_destroy(s->guard_page);
    rk_tickets_finish(&s->tickets);
    free(s->methods);
    free(s->message);
    free(s->path);
    free(s);
}
