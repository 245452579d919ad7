/* SPDX-License-Identifier: MIT */
/* One request in RK_SAMPLE_EVERY is timed, and what waits behind it counted now and then. All of it is figures for tools; a
 * request that is not sampled costs a decrement and a branch. Runs in the serve loop, before and after a handler. */
#include "clock.h"
#include "log.h"
#include "worker_state.h"

static uint32_t bucket_of(uint64_t ns)
{
    uint32_t bucket = ns > 1 ? 63u - (uint32_t)__builtin_clzll(ns) : 0;
    return bucket < RK_SERVICE_BUCKETS ? bucket : RK_SERVICE_BUCKETS - 1;
}

/** To count means to look at lines that clients are about to write: far apart 700 ns, as long as fifteen requests. Once in this
 * time is often enough for whoever reads the figure. */
#define COUNT_NS 1000000u
/** Requests that are counted one by one; those behind them lie in order (lib/slots.h). */
#define LINKED 4u

/** Published requests from `slot` on, at most `most`: the first ones by their links, then by looking at one twice as far each time.
 * To touch every line that waits would take longer than to serve it. `next` comes from the client and is checked. */
static uint32_t waiting(const struct rk_served *served, const struct rk_request_slot *slot, uint64_t position,
                        uint32_t most)
{
    uint32_t count = 0;
    /* SYNC R1 acquire: pairs with rk_lane_publish */
    for (; count < LINKED; count++) {
        if (rk_load_acquire(&slot->sequence) != position + 1 + count) return count;
        uint32_t next = rk_load_relaxed(&slot->next);
        if (!rk_slot_exists(next, served->mask)) return count + 1;
        slot = rk_slot_request(served->requests, served->pair, next, served->mask);
    }
    const struct rk_reading at = {served->requests, slot, served->mask, position + count};
    uint32_t there = 0, missing = 1;
    for (; missing < most && rk_run_there(&at, missing - 1); missing *= 2) there = missing;
    while (missing - there > 1) {
        uint32_t middle = (there + missing) / 2;
        if (rk_run_there(&at, middle - 1))
            there = middle;
        else
            missing = middle;
    }
    return count + there < most ? count + there : most;
}

/** Behind the request in hand, which has been taken and not answered. */
static uint32_t depth(const struct rk_worker *worker)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < worker->session_count && sum < RK_DEPTH_MAX; i++) {
        const struct rk_served *served = worker->sessions[i];
        bool in_hand = served == worker->handling.served;
        uint64_t position = served->position + (in_hand ? 1 : 0);
        if (served->open) sum += waiting(served, served->next_request, position, RK_DEPTH_MAX - sum);
    }
    return sum;
}

/** Follows the median of what is sampled, in steps of a quarter: neither one request in a hundred that takes long nor one that
 * lost its processor in the middle moves it far. The very first request meets cold caches, so the second counts, too. The
 * client in hand is told (lib/spread.h). */
static void hint(struct rk_worker *worker, uint32_t ns)
{
    uint32_t now = worker->service_ns, step = now / 4 + 1;
    if (worker->page->samples < 2 || (ns > now ? ns - now : now - ns) <= step)
        now = ns > 0 ? ns : 1;
    else
        now = ns > now ? now + step : now - step;
    worker->service_ns = now;
    rk_store_relaxed(&worker->handling.served->response_header->service_ns, now);
}

/** The begin and the end of a stream say nothing of what its items take. */
static bool is_typical(uint8_t kind)
{
    return kind == RK_REQUEST_CALL || kind == RK_REQUEST_ITEM;
}

int rk_worker_sample(struct rk_worker *worker)
{
    struct rk_status_page *page = worker->page;
    if (!is_typical(worker->handling.kind)) {
        worker->until_sample = 1; /* the next one instead */
        return rk_worker_run(worker);
    }
    worker->until_sample = worker->page->samples > 0 ? RK_SAMPLE_EVERY : 1;
    uint64_t start_ns = rask_now_ns();
    if (start_ns - worker->counted_ns >= COUNT_NS) {
        worker->counted_ns = start_ns;
        rk_store_relaxed(&page->queue_depth, depth(worker));
        start_ns = rask_now_ns();
    }
    rk_store_relaxed(&page->sample_ns, start_ns);
    /* SYNC R9 release: pairs with rk_stats_look; whoever sees the epoch sees the time */
    rk_store_release(&page->sample_epoch, worker->epoch + 1);
    int code = rk_worker_run(worker);
    if (RK_UNLIKELY(rk_load_relaxed(worker->fork_guard) == 0)) return code; /* the handler's child: no page here */
    uint64_t ns = rask_now_ns() - start_ns;
    uint64_t *bucket = &page->service[bucket_of(ns)];
    rk_store_relaxed(bucket, *bucket + 1);
    hint(worker, ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX);
    if (ns > page->service_ns_max) rk_store_relaxed(&page->service_ns_max, ns);
    rk_store_relaxed(&page->log_dropped, rk_log_dropped());
    rk_store_relaxed(&page->samples, page->samples + 1);
    return code;
}

uint64_t rk_worker_woke(struct rk_worker *worker)
{
    uint64_t now_ns = rask_now_ns();
    worker->woke_ns = now_ns;
    rk_store_relaxed(&worker->page->woke_ns, now_ns);
    /* SYNC R9 release: pairs with rk_stats_look; whoever sees the epoch sees the time */
    rk_store_release(&worker->page->woke_epoch, worker->epoch);
    return now_ns;
}
