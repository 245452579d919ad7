/* SPDX-License-Identifier: MIT */
/* The host's functions for upcalls. The slot of a lane is used again only after the answer to the upcall before came, wanted or
 * not: so a caller never reads a slot that changes (lib/upcall.h). */
#include "upcalls.h"
#include "caller.h"
#include "log.h"
#include "served.h"
#include "worker_state.h"
#include <errno.h>
#include <rask/client.h>
#include <stdlib.h>
#include <string.h>

static void *host_reserve(struct rask_call *call, size_t bytes)
{
    struct rk_handling *handling = (struct rk_handling *)(void *)call;
    if (handling->worker == NULL) return NULL; /* it has no caller: see alone.h */
    struct rk_asking *asking = &handling->worker->asking;
    rk_asking_reset(handling);
    handling->asks = true;
    if (bytes <= RASK_INLINE_BYTES) {
        asking->reserved_bytes = (uint32_t)bytes;
        return asking->bytes;
    }
    if (bytes <= handling->served->params.payload_bytes_max)
        asking->block = rk_served_take_block(handling->served, bytes);
    if (asking->block == RK_BLOCK_NONE) return NULL;
    asking->reserved_bytes = (uint32_t)bytes;
    return rk_served_block_data(handling->served, asking->block);
}

void rk_asking_reset(struct rk_handling *handling)
{
    struct rk_asking *asking = &handling->worker->asking;
    if (asking->block != RK_BLOCK_NONE) rk_slab_put(&handling->served->slab, asking->block);
    asking->block = RK_BLOCK_NONE;
    asking->reserved_bytes = 0;
}

static bool answered(struct rk_handling *handling)
{
    return rk_upcall_answered(handling->served);
}

/** A private copy for handlers that do not cope with bytes that change. */
static int copy_answer(struct rk_worker *worker, struct rk_answer *answer)
{
    if (answer->length > worker->asking.copy_bytes) {
        uint8_t *bigger = realloc(worker->asking.copy, answer->length);
        if (bigger == NULL) return -ENOMEM;
        worker->asking.copy = bigger;
        worker->asking.copy_bytes = answer->length;
    }
    answer->data = memcpy(worker->asking.copy, answer->data, answer->length);
    return 0;
}

/** The segment that an answer names was announced before it was published: it is here or on its way. */
static bool answer_found(struct rk_handling *handling)
{
    return rk_upcall_answer(handling->served, &handling->worker->asking.answer) != -EAGAIN;
}

static int read_answer(struct rk_handling *handling)
{
    struct rk_worker *worker = handling->worker;
    struct rk_answer *answer = &worker->asking.answer;
    int result = rk_upcall_answer(handling->served, answer);
    if (result == -EAGAIN) {
        result = rk_caller_wait(handling, answer_found, false, 0);
        if (result == 0) result = rk_upcall_answer(handling->served, answer);
    }
    if (result == 0 && answer->length > RASK_INLINE_BYTES && (handling->served->snapshot || !worker->shares_requests))
        result = copy_answer(worker, answer);
    return result;
}

/** A caller that does not answer costs its time-out once, until it answers. */
static int note_stuck(struct rk_served *served, int result)
{
    if (result == -ETIMEDOUT) served->stuck = true;
    return result;
}

/** Also where every answer comes at once, so that nobody waits for one. */
static int in_time(struct rk_handling *handling)
{
    if (rk_handling_stops(handling)) return -ECANCELED;
    uint64_t deadline_ns = handling->call.deadline_ns;
    return deadline_ns != 0 && rask_now_ns() >= deadline_ns ? -ETIMEDOUT : 0;
}

static int ask(struct rk_handling *handling, uint32_t method, size_t bytes, uint64_t timeout_ns)
{
    struct rk_served *served = handling->served;
    struct rk_asking *asking = &handling->worker->asking;
    if (!handling->takes_upcalls) return -ENOSYS;
    if (bytes > asking->reserved_bytes) return -EINVAL;
    int stop = in_time(handling);
    if (RK_UNLIKELY(stop != 0)) return stop;
    if (RK_UNLIKELY(!rk_upcall_answered(served))) { /* the last one was given up */
        if (served->stuck) return -ETIMEDOUT;       /* the caller has had its time */
        int before = rk_caller_wait(handling, answered, true, timeout_ns);
        if (before != 0) return note_stuck(served, before);
    }
    served->stuck = false;
    if (bytes <= RASK_INLINE_BYTES && asking->block != RK_BLOCK_NONE)
        memcpy(asking->bytes, rk_served_block_data(served, asking->block), bytes);
    rk_upcall_publish(served, handling, method, asking->block, asking->bytes, (uint32_t)bytes);
    if (bytes > RASK_INLINE_BYTES) asking->block = RK_BLOCK_NONE; /* the caller gives it back */
    int result = rk_caller_wait(handling, answered, true, timeout_ns);
    return result != 0 ? note_stuck(served, result) : read_answer(handling);
}

static int host_call(struct rask_call *call, uint32_t method, size_t bytes, uint64_t timeout_ns,
                     struct rask_upcall_reply *reply)
{
    struct rk_handling *handling = (struct rk_handling *)(void *)call;
    struct rk_worker *worker = handling->worker;
    *reply = (struct rask_upcall_reply){.data = ""};
    if (worker == NULL) return -ENOSYS; /* it has no caller: see alone.h */
    int result = ask(handling, method, bytes, timeout_ns);
    if (result == -ECANCELED) handling->asked_to_stop = true;
    rk_asking_reset(handling);
    uint64_t *count = result == 0 ? &worker->page->upcalls : &worker->page->upcalls_failed;
    rk_store_relaxed(count, *count + 1);
    if (result != 0) return result;
    const struct rk_answer *answer = &worker->asking.answer;
    *reply = (struct rask_upcall_reply){.data = answer->data, .bytes = answer->length, .code = answer->code};
    return 0;
}

const struct rask_upcall_host rk_upcall_host = {
    .size = sizeof(struct rask_upcall_host),
    .method = rk_upcall_hash,
    .reserve = host_reserve,
    .call = host_call,
};
