/* SPDX-License-Identifier: MIT */
/* The handshake drawn in control.h, from the client's side: hello, welcome, methods, then the arena is made and handed
 * over. Blocks until a worker serves, at most to the deadline. */
#include "error.h"
#include "poison.h"
#include "session.h"
#include <errno.h>
#include <rask/version.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/** Wait for the next message of the handshake. REFUSED becomes its errno. */
static int expect(struct rask *s, uint16_t type, uint64_t deadline_ns, int fds[RK_MESSAGE_FDS_MAX])
{
    static const int errors[RK_REFUSED_COUNT] = {
        [RK_REFUSED_VERSION] = EPROTONOSUPPORT, [RK_REFUSED_PROTOCOL] = EPROTO,
        [RK_REFUSED_PLUGIN] = ENOEXEC,          [RK_REFUSED_BUSY] = EBUSY,
        [RK_REFUSED_OPTIONS] = EINVAL,          [RK_REFUSED_SHUTDOWN] = ESHUTDOWN,
        [RK_REFUSED_PERMISSION] = EACCES,       [RK_REFUSED_MEMORY] = ENOMEM,
    };
    unsigned fd_count = 0;
    int result;
    while ((result = rk_control_receive(s->socket, s->message, fds, &fd_count)) == -EAGAIN) {
        result = rk_control_wait(s->socket, deadline_ns);
        if (result == -ETIMEDOUT)
            return rk_error(result, "no worker of the supervisor served in time: see its messages, or wait longer");
        if (result != 0 && result != -EINTR) return result;
    }
    if (result == -EMFILE) return rk_error(result, "this process is out of descriptors: raise the limit (ulimit -n)");
    if (result == -ECONNRESET)
        return rk_error(result, "the supervisor closed the connection during the handshake: see its messages");
    if (result != 0 && !(result == -EPROTONOSUPPORT && s->message->head.type == RK_REFUSED)) return result;
    if (s->message->head.type == RK_REFUSED) {
        uint32_t reason = s->message->text.reason;
        int error = reason < RK_REFUSED_COUNT ? errors[reason] : 0;
        return rk_error(error != 0 ? -error : -EPROTO, "%s", s->message->text.text);
    }
    if (s->message->head.type == type) return 0;
    if (s->message->head.type == RK_POISONS && type == RK_ATTACHED) {
        rk_poison_update(s, &s->message->poisons);
        return expect(s, type, deadline_ns, fds);
    }
    for (unsigned i = 0; i < fd_count; i++) close(fds[i]);
    if (s->message->head.type == RK_SHUTDOWN) return rk_error(-ESHUTDOWN, "the supervisor is shutting down");
    return rk_error(-EPROTO, "the supervisor sent %s instead of %s", rk_message_type_name(s->message->head.type),
                    rk_message_type_name(type));
}

static int say_hello(struct rask *s, bool membarrier)
{
    struct rk_message_hello hello = {
        .layout = RK_LAYOUT,
        .fingerprint = rk_layout_fingerprint(),
        .flags = membarrier ? RK_PEER_MEMBARRIER : 0,
        .wait_mode = s->options.wait_mode,
        .params = s->params,
    };
    hello.params.lanes = 0; /* the supervisor chooses */
    rk_message_init(&hello.head, RK_HELLO, sizeof hello);
    snprintf(hello.version, sizeof hello.version, "%s", RASK_VERSION);
    return rk_session_send(s, &hello, NULL, 0);
}

static int read_welcome(struct rask *s, int control_fd)
{
    const struct rk_message_welcome *welcome = &s->message->welcome;
    if (welcome->layout != RK_LAYOUT || welcome->fingerprint != rk_layout_fingerprint()) {
        close(control_fd);
        return rk_error(
            -EPROTONOSUPPORT,
            "the supervisor is rask %s (layout %u, fingerprint %#x), this is rask %s (layout %u, fingerprint "
            "%#x): use the same build on both sides",
            welcome->version, welcome->layout, welcome->fingerprint, RASK_VERSION, RK_LAYOUT, rk_layout_fingerprint());
    }
    if (welcome->workers == 0 || welcome->workers > RASK_WORKERS_MAX || welcome->lanes == 0 ||
        welcome->lanes > RK_LANES_MAX || welcome->method_count > RASK_METHODS_MAX) {
        close(control_fd);
        return rk_error(-EPROTO, "the supervisor's welcome is out of range: %u workers, %u lanes, %u methods",
                        welcome->workers, welcome->lanes, welcome->method_count);
    }
    if (welcome->slab_bytes_max < s->params.slab_bytes_max && welcome->slab_bytes_max >= s->params.slab_bytes)
        s->params.slab_bytes_max = welcome->slab_bytes_max;
    s->id = welcome->session;
    s->workers = welcome->workers;
    s->params.lanes = welcome->lanes;
    s->first_worker = welcome->first_worker % welcome->workers;
    rk_spread_init(&s->spread, welcome->workers, welcome->parallel);
    s->worker_wait_mode = welcome->worker_wait_mode;
    s->supervisor_pid = welcome->supervisor_pid;
    s->method_count = welcome->method_count;
    snprintf(s->engine, sizeof s->engine, "%s", welcome->engine);
    snprintf(s->plugin, sizeof s->plugin, "%s", welcome->plugin);
    snprintf(s->plugin_version, sizeof s->plugin_version, "%s", welcome->plugin_version);
    s->fenced = s->fenced || !(welcome->flags & RK_PEER_MEMBARRIER);
    return rk_segment_map(&s->control, control_fd, RK_SEGMENT_CONTROL, RK_PAGE_BYTES, false);
}

static int read_methods(struct rask *s)
{
    const struct rk_message_methods *message = &s->message->methods;
    if (message->count != s->method_count)
        return rk_error(-EPROTO, "the supervisor listed %u methods and announced %u", message->count, s->method_count);
    free(s->methods);
    s->methods = calloc(s->method_count > 0 ? s->method_count : 1, sizeof *s->methods);
    if (s->methods == NULL) return rk_error(-ENOMEM, "out of memory for %u methods", s->method_count);
    memcpy(s->methods, message->entry, s->method_count * sizeof *s->methods);
    return 0;
}

/** All of them or none: lanes that are there are closed some time, so they are never there half made. */
static int make_lanes(struct rask *s)
{
    const struct rk_params *params = &s->params;
    size_t private_bytes = rk_lane_private_bytes(params);
    struct rk_lane *lanes = aligned_alloc(_Alignof(struct rk_lane), params->lanes * sizeof *lanes);
    s->open_lanes = calloc(params->lanes, sizeof *s->open_lanes);
    s->lane_memory = malloc(params->lanes * private_bytes);
    if (lanes == NULL || s->open_lanes == NULL || s->lane_memory == NULL) {
        free(lanes);
        return rk_error(-ENOMEM, "out of memory for %u lanes", params->lanes);
    }
    for (uint32_t i = 0; i < params->lanes; i++)
        rk_lane_init(&lanes[i], i, params, s->request[0].base, s->bell.base, s->lane_memory + i * private_bytes);
    s->lanes = lanes;
    return 0;
}

/** Segments, lanes and slab, now that the number of lanes is known. */
static int make_arena(struct rask *s)
{
    const struct rk_params *params = &s->params;
    int result = rk_segment_create(&s->request[0], RK_SEGMENT_REQUEST, rk_request_segment_bytes(params));
    if (result == 0) result = rk_segment_create(&s->bell, RK_SEGMENT_BELL, rk_bell_segment_bytes(params));
    if (result == 0) result = rk_slab_seed(&s->slab, rk_request_slab_offset(params), params->slab_bytes);
    if (result == 0) result = make_lanes(s);
    if (result != 0) return result;
    struct rk_bell_page *bells = s->bell.base;
    s->client_bell = &bells->client.word;
    s->control_word = &((const struct rk_control_page *)s->control.base)->word;
    s->control_seen = rk_load_relaxed(s->control_word) - 1; /* look at the socket once */
    s->header = s->request[0].base;
    if (s->fenced) rk_store_release(&s->header->client.state, RK_WAITER_FENCED);
    s->request_segments = 1;
    s->request_bytes = params->slab_bytes;
    return 0;
}

int rk_session_attach(struct rask *s, int socket, uint64_t deadline_ns)
{
    int fds[RK_MESSAGE_FDS_MAX];
    s->socket = socket;
    bool membarrier = rk_membarrier_register();
    s->fenced = !membarrier;
    s->fence_only = rk_fence_only();
    int result = say_hello(s, membarrier);
    /* A supervisor that refuses at once may close before our message arrives: its reason still waits to be read. */
    if (result != 0 && result != -EPIPE && result != -ECONNRESET) return result;
    if ((result = expect(s, RK_WELCOME, deadline_ns, fds)) != 0) return result;
    if ((result = read_welcome(s, fds[0])) != 0) return result;
    if ((result = expect(s, RK_METHODS, deadline_ns, fds)) != 0) return result;
    if ((result = read_methods(s)) != 0) return result;
    if ((result = make_arena(s)) != 0) return result;
    struct rk_message attach;
    rk_message_init(&attach, RK_ATTACH, sizeof attach);
    const int handed_over[2] = {s->request[0].fd, s->bell.fd};
    if ((result = rk_session_send(s, &attach, handed_over, 2)) != 0) return result;
    if ((result = expect(s, RK_ATTACHED, deadline_ns, fds)) != 0) return result;
    rk_segment_close_fd(&s->request[0]);
    rk_segment_close_fd(&s->bell);
    s->connected = true;
    s->shutting_down = false;
    s->ended = false;
    s->broken = false;
    rk_session_control(s); /* which workers serve: a lane to one is asked for now, and waited for at the first call */
    return 0;
}
