/* SPDX-License-Identifier: MIT */
/* One look at a pool's pages, and what follows from two: how long a worker has been in its request.
 *
 * No worker reads a clock per request, so the time is found from outside. A request that was sampled has its start in the
 * page. For the first one after the worker woke up, the time it woke is as good. For any other it lies between the last
 * time the worker looked at a clock and the first time it was seen in this request. */
#include "atomic.h"
#include "clock.h"
#include "error.h"
#include "policy.h"
#include "stats.h"
#include "supervisor_state.h"
#include <errno.h>
#include <string.h>

/** A worker that woke finds its request at once, or spins for less than this. */
#define WAKE_SLACK_NS 1000000u

const char *rk_stats_phase_name(uint32_t phase)
{
    static const char *const names[] = {"starting", "serving", "draining", "failing", "ending"};
    static_assert(sizeof names / sizeof names[0] == RK_PHASE_ENDING + 1, "one name per phase");
    return phase < sizeof names / sizeof names[0] ? names[phase] : "unknown";
}

const char *rk_stats_process_name(char state)
{
    switch (state) {
    case 'R':
    case 'S':
    case 'D':
    case 'I':
        return "alive";
    case 'T':
    case 't':
        return "stopped";
    case 'Z':
    case 'X':
        return "dead";
    default:
        return "unknown";
    }
}

static void read_row(const struct rk_pool_member *row, struct rk_stats_worker *worker, uint32_t *status_fd)
{
    /* SYNC R9 acquire: pairs with rk_board_member */
    worker->state = rk_load_acquire(&row->state);
    worker->generation = rk_load_relaxed(&row->generation);
    worker->pid = rk_load_relaxed(&row->pid);
    *status_fd = rk_load_relaxed(&row->status_fd);
    worker->restarts = rk_load_relaxed(&row->restarts);
    worker->deaths = rk_load_relaxed(&row->deaths);
    worker->replacements = rk_load_relaxed(&row->replacements);
    worker->requests = rk_load_relaxed(&row->requests);
    worker->errors = rk_load_relaxed(&row->errors);
    worker->refused = rk_load_relaxed(&row->refused);
    worker->parks = rk_load_relaxed(&row->parks);
    worker->rescues = rk_load_relaxed(&row->rescues);
    worker->bad_peer = rk_load_relaxed(&row->bad_peer);
    worker->log_dropped = rk_load_relaxed(&row->log_dropped);
}

static uint64_t since(uint64_t now_ns, uint64_t then_ns)
{
    return then_ns != 0 && then_ns < now_ns ? now_ns - then_ns : 0;
}

/* The time in the request of this epoch. `seen` remembers from look to look. */
static void time_request(const struct rk_status_page *page, uint64_t epoch, struct rk_stats_seen *seen,
                         struct rk_stats_worker *worker)
{
    uint64_t now_ns = rask_now_ns();
    /* SYNC R9 acquire: pairs with rk_worker_sample and rk_worker_woke */
    uint64_t sample_epoch = rk_load_acquire(&page->sample_epoch);
    uint64_t woke_epoch = rk_load_acquire(&page->woke_epoch);
    uint64_t sample_ns = rk_load_relaxed(&page->sample_ns), woke_ns = rk_load_relaxed(&page->woke_ns);
    if (seen->pid != worker->pid || seen->epoch != epoch)
        *seen = (struct rk_stats_seen){.pid = worker->pid, .epoch = epoch, .since_ns = now_ns};
    worker->busy = true;
    worker->busy_ns_min = since(now_ns, seen->since_ns);
    worker->busy_ns_max = since(now_ns, sample_ns > woke_ns ? sample_ns : woke_ns);
    if (sample_epoch == epoch) worker->busy_ns_min = worker->busy_ns_max = since(now_ns, sample_ns);
    if (worker->busy_ns_max < worker->busy_ns_min) worker->busy_ns_max = worker->busy_ns_min;
    if (woke_epoch + 1 == epoch && worker->busy_ns_max > worker->busy_ns_min + WAKE_SLACK_NS &&
        rk_load_relaxed(&page->parks) > 0)
        worker->busy_ns_min = worker->busy_ns_max - WAKE_SLACK_NS;
}

static void read_service(const struct rk_status_page *page, struct rk_stats_worker *worker)
{
    worker->sample_every = rk_load_relaxed(&page->sample_every);
    worker->samples = rk_load_relaxed(&page->samples);
    worker->service_ns_max = rk_load_relaxed(&page->service_ns_max);
    for (uint32_t i = 0; i < RK_SERVICE_BUCKETS; i++) worker->service[i] = rk_load_relaxed(&page->service[i]);
}

static void read_page(const struct rk_status_page *page, struct rk_stats_seen *seen, struct rk_stats_worker *worker)
{
    /* SYNC R9 acquire: pairs with rk_worker_stage and handle */
    worker->stage = rk_load_acquire(&page->stage);
    uint64_t epoch = rk_load_acquire(&page->epoch);
    worker->requests += epoch / 2 + epoch % 2;
    worker->errors += rk_load_relaxed(&page->handler_errors);
    worker->refused += rk_load_relaxed(&page->refused);
    worker->parks += rk_load_relaxed(&page->parks);
    worker->rescues += rk_load_relaxed(&page->rescues);
    worker->bad_peer += rk_load_relaxed(&page->bad_peer);
    worker->log_dropped += rk_load_relaxed(&page->log_dropped);
    worker->sessions = rk_load_relaxed(&page->sessions);
    worker->queue_depth = rk_load_relaxed(&page->queue_depth);
    worker->streams = rk_load_relaxed(&page->streams);
    worker->items = rk_load_relaxed(&page->items);
    worker->backlog = rk_load_relaxed(&page->backlog);
    worker->upcalls = rk_load_relaxed(&page->upcalls);
    worker->upcalls_failed = rk_load_relaxed(&page->upcalls_failed);
    worker->leases = rk_load_relaxed(&page->leases);
    worker->leased_bytes = rk_load_relaxed(&page->leased_bytes);
    read_service(page, worker);
    if (epoch % 2 == 0) return;
    worker->session = rk_load_relaxed(&page->session);
    worker->method = rk_load_relaxed(&page->method);
    time_request(page, epoch, seen, worker);
}

static void look_at(struct rk_stats_source *source, uint32_t index, struct rk_stats_worker *worker)
{
    const struct rk_pool_page *board = source->board.base;
    struct rk_segment segment = RK_SEGMENT_INIT;
    uint32_t status_fd;
    read_row(&board->member[index], worker, &status_fd);
    if (source->same_namespace && worker->pid != 0) worker->process = rk_process_state((pid_t)worker->pid);
    if (status_fd == 0 || rk_stats_page(source, status_fd - 1, &segment) < 0) return;
    const struct rk_status_page *page = segment.base;
    if (rk_load_relaxed(&page->pid) == worker->pid && rk_load_relaxed(&page->index) == index) {
        worker->has_page = true;
        read_page(page, &source->seen[index], worker);
    }
    rk_segment_finish(&segment);
}

static void add(struct rk_stats_worker *sum, const struct rk_stats_worker *worker)
{
    sum->restarts += worker->restarts;
    sum->deaths += worker->deaths;
    sum->replacements += worker->replacements;
    sum->requests += worker->requests;
    sum->errors += worker->errors;
    sum->refused += worker->refused;
    sum->parks += worker->parks;
    sum->rescues += worker->rescues;
    sum->bad_peer += worker->bad_peer;
    sum->log_dropped += worker->log_dropped;
    sum->queue_depth += worker->queue_depth;
    sum->streams += worker->streams;
    sum->items += worker->items;
    sum->backlog += worker->backlog;
    sum->upcalls += worker->upcalls;
    sum->upcalls_failed += worker->upcalls_failed;
    sum->leases += worker->leases;
    sum->leased_bytes += worker->leased_bytes;
    sum->samples += worker->samples;
    if (worker->service_ns_max > sum->service_ns_max) sum->service_ns_max = worker->service_ns_max;
    if (worker->sample_every > 0) sum->sample_every = worker->sample_every;
    for (uint32_t i = 0; i < RK_SERVICE_BUCKETS; i++) sum->service[i] += worker->service[i];
}

static void read_board(const struct rk_stats_source *source, struct rk_stats *stats)
{
    const struct rk_pool_page *board = source->board.base;
    /* SYNC R9 acquire: pairs with rk_board_pool */
    stats->phase = rk_load_acquire(&board->phase);
    stats->workers = source->workers;
    stats->uptime_ns = since(rask_now_ns(), rk_load_relaxed(&board->started_ns));
    stats->sessions = rk_load_relaxed(&board->sessions);
    stats->sessions_made = rk_load_relaxed(&board->sessions_made);
    stats->sessions_refused = rk_load_relaxed(&board->sessions_refused);
    stats->sessions_ended = rk_load_relaxed(&board->sessions_ended);
    stats->poisons = rk_load_relaxed(&board->poisons);
    stats->log_dropped = rk_load_relaxed(&board->log_dropped);
}

/* True if a worker is in a request. */
static bool look_once(struct rk_stats_source *source, struct rk_stats *stats)
{
    bool busy = false;
    memset(stats, 0, sizeof(*stats));
    stats->process = rk_process_state(source->pid);
    read_board(source, stats);
    for (uint32_t i = 0; i < source->workers; i++) {
        struct rk_stats_worker *worker = &stats->worker[i];
        look_at(source, i, worker);
        add(&stats->sum, worker);
        stats->serving += worker->state == RK_WORKER_SERVING;
        busy |= worker->busy;
    }
    return busy;
}

int rk_stats_look(struct rk_stats_source *source, struct rk_stats *stats)
{
    const struct timespec apart = rk_timespec(RK_STATS_LOOK_NS);
    if (look_once(source, stats)) {
        nanosleep(&apart, NULL);
        look_once(source, stats);
    }
    if (stats->process != 0 && stats->process != 'Z' && stats->process != 'X') return 0;
    return rk_error(-ENOENT, "the supervisor (pid %d) is dead", (int)source->pid);
}

uint64_t rk_stats_quantile(const struct rk_stats_worker *worker, double part)
{
    uint64_t total = 0, below = 0;
    for (uint32_t i = 0; i < RK_SERVICE_BUCKETS; i++) total += worker->service[i];
    for (uint32_t i = 0; i < RK_SERVICE_BUCKETS; i++) {
        below += worker->service[i];
        if (total > 0 && (double)below >= part * (double)total) {
            uint64_t end_ns = (uint64_t)2 << i;
            return worker->service_ns_max < end_ns ? worker->service_ns_max : end_ns;
        }
    }
    return 0;
}
