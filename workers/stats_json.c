/* SPDX-License-Identifier: MIT */
/* `rask stats --json`: names that stay, see docs/operating.md. What is not known is null. */
#include "json.h"
#include "policy.h"
#include "stats.h"
#include <rask/version.h>

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)(value > INT64_MAX ? INT64_MAX : value));
}

static json_t *if_known(bool known, json_t *value)
{
    if (known) return value;
    json_decref(value);
    return json_null();
}

static json_t *service(const struct rk_stats_worker *worker)
{
    json_t *buckets = json_array();
    for (uint32_t i = 0; i < RK_SERVICE_BUCKETS; i++) {
        if (worker->service[i] == 0) continue;
        json_t *end = if_known(i + 1 < RK_SERVICE_BUCKETS, number((uint64_t)2 << i));
        json_array_append_new(buckets, json_pack("{s:o, s:o, s:o}", "from_ns", number(i > 0 ? (uint64_t)1 << i : 0),
                                                 "below_ns", end, "count", number(worker->service[i])));
    }
    bool any = worker->samples > 0;
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "sample_every",
                     if_known(worker->sample_every > 0, number(worker->sample_every)), "samples",
                     number(worker->samples), "p50_ns", if_known(any, number(rk_stats_quantile(worker, 0.5))), "p99_ns",
                     if_known(any, number(rk_stats_quantile(worker, 0.99))), "max_ns",
                     if_known(any, number(worker->service_ns_max)), "buckets", buckets);
}

static int add_counters(json_t *object, const struct rk_stats_worker *worker)
{
    const struct {
        const char *name;
        uint64_t value;
    } counters[] = {
        {"requests", worker->requests},
        {"errors", worker->errors},
        {"refused", worker->refused},
        {"restarts", worker->restarts},
        {"deaths", worker->deaths},
        {"replacements", worker->replacements},
        {"queue_depth", worker->queue_depth},
        {"parks", worker->parks},
        {"rescues", worker->rescues},
        {"bad_peers", worker->bad_peer},
        {"streams", worker->streams},
        {"items", worker->items},
        {"backlog", worker->backlog},
        {"upcalls", worker->upcalls},
        {"upcalls_failed", worker->upcalls_failed},
        {"leases", worker->leases},
        {"leased_bytes", worker->leased_bytes},
    };
    int failed = 0;
    for (unsigned i = 0; i < sizeof(counters) / sizeof(counters[0]); i++)
        failed |= json_object_set_new(object, counters[i].name, number(counters[i].value));
    return failed;
}

/* The request it is in. */
static json_t *request(const struct rk_stats_worker *worker)
{
    if (!worker->busy) return json_null();
    return json_pack("{s:o, s:o, s:o, s:o}", "session", number(worker->session), "method", number(worker->method),
                     "busy_for_min_ns", number(worker->busy_ns_min), "busy_for_max_ns", number(worker->busy_ns_max));
}

static json_t *worker_object(uint32_t index, const struct rk_stats_worker *worker)
{
    const char *state = worker->state < RK_POLICY_STATE_COUNT ? rk_policy_state_name(worker->state) : "unknown";
    json_t *stage = if_known(worker->has_page, json_string(rk_worker_stage_name(worker->stage)));
    json_t *object =
        json_pack("{s:o, s:s, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "index", number(index), "state", state,
                  "stage", stage, "process", rk_stats_process_name(worker->process), "generation",
                  number(worker->generation), "pid", if_known(worker->pid != 0, number(worker->pid)), "sessions",
                  number(worker->sessions), "busy", json_boolean(worker->busy), "request", request(worker),
                  "log_lines_dropped", number(worker->log_dropped), "service", service(worker));
    if (object) add_counters(object, worker);
    return object;
}

static json_t *pool_object(const struct rk_stats *stats)
{
    json_t *object =
        json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "workers", number(stats->workers), "serving",
                  number(stats->serving), "sessions", number(stats->sessions), "sessions_made",
                  number(stats->sessions_made), "sessions_refused", number(stats->sessions_refused), "sessions_ended",
                  number(stats->sessions_ended), "poisons", number(stats->poisons), "log_lines_dropped",
                  number(stats->log_dropped + stats->sum.log_dropped), "service", service(&stats->sum));
    if (object) add_counters(object, &stats->sum);
    return object;
}

int rk_stats_print_json(const struct rk_stats_source *source, const struct rk_stats *stats)
{
    json_t *workers = json_array();
    json_t *socket = source->socket ? rk_json_text(source->socket) : json_null();
    for (uint32_t i = 0; i < stats->workers; i++) json_array_append_new(workers, worker_object(i, &stats->worker[i]));
    json_t *supervisor =
        json_pack("{s:I, s:o, s:s, s:s, s:o, s:o}", "pid", (json_int_t)source->pid, "socket", socket, "phase",
                  rk_stats_phase_name(stats->phase), "process", rk_stats_process_name(stats->process), "uptime_ns",
                  number(stats->uptime_ns), "log_lines_dropped", number(stats->log_dropped));
    return rk_json_print(json_pack("{s:i, s:s, s:o, s:o, s:o}", "schema", 1, "version", RASK_VERSION, "supervisor",
                                   supervisor, "pool", pool_object(stats), "workers", workers));
}
