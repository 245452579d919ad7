/* SPDX-License-Identifier: MIT */
/* `rask bench sweep`: the parts and the command line. Everything else is suite_command.c. */
#include "bench.h"
#include "exit_codes.h"
#include "options.h"
#include "sweep.h"

#define BIT(part) (1u << (part))

static const struct rk_part parts[RK_SWEEP_PARTS] = {
    [RK_SWEEP_SIZES] = {"sizes", 14, rk_sweep_sizes},
    [RK_SWEEP_INFLIGHT] = {"inflight", 12, rk_sweep_inflight},
    [RK_SWEEP_WORKERS] = {"workers", 8, rk_sweep_workers},
    [RK_SWEEP_CLIENTS] = {"clients", 8, rk_sweep_clients},
    [RK_SWEEP_HANDLERS] = {"handlers", 6, rk_sweep_handlers},
    [RK_SWEEP_PAYLOAD] = {"payload", 10, rk_sweep_payload},
    [RK_SWEEP_LOAD] = {"load", 12, rk_sweep_load},
    [RK_SWEEP_MIXTURE] = {"mixture", 30, rk_sweep_mixture},
    [RK_SWEEP_FLOW] = {"flow", 10, rk_sweep_flow},
};

const struct rk_suite_kind rk_sweep = {.name = "sweep",
                                       .parts = parts,
                                       .count = RK_SWEEP_PARTS,
                                       .drawn = BIT(RK_SWEEP_SIZES) | BIT(RK_SWEEP_INFLIGHT) | BIT(RK_SWEEP_WORKERS) |
                                                BIT(RK_SWEEP_CLIENTS) | BIT(RK_SWEEP_LOAD) | BIT(RK_SWEEP_MIXTURE),
                                       .loose = "workers, clients, handlers in a pipeline",
                                       .draw = rk_sweep_draw};

bool rk_sweep_has_two(struct rk_suite *sweep)
{
    if (sweep->client_cpu != sweep->worker_cpu) return true;
    rk_suite_print(sweep, "\n%s: left out, it needs two processors that are busy at once\n",
                   rk_suite_part_name(sweep->kind, sweep->part));
    return false;
}

json_t *rk_sweep_row(json_t *list, const char *name, const char *key, uint64_t value)
{
    json_t *row = json_object();
    json_object_set_new(row, "name", rk_json_text(name));
    json_object_set_new(row, key, json_integer((json_int_t)value));
    json_array_append_new(list, row);
    return row;
}

int cmd_bench_sweep(int argc, char **argv)
{
    struct rk_suite_line line = {.part = NULL};
    const struct rk_option options[] = {
        RK_SUITE_OPTIONS(&line, "110s", "plot the parts that have a curve"),
        {.name = NULL},
    };
    const struct rk_command command = {
        .name = "bench sweep",
        .about =
            "Measure rask over everything that can be turned, each figure beside what it is to be compared with,\n"
            "in the same run, in short slices in turns.\n\n"
            "parts:\n"
            "  sizes     round trips of 0 B to 1 MiB, one at a time, beside a bare exchange of the same bytes\n"
            "  inflight  1 to 1024 in flight, 32 bytes, beside a bare ring each way\n"
            "  workers   throughput of 1 to 64 workers on the processors there are\n"
            "  clients   throughput of 1 to 64 clients with two workers, and how evenly it is shared\n"
            "  handlers  that cost 0, 1, 10, 100 us: what a call adds, one at a time; what a pipeline keeps\n"
            "  payload   by reference, copied in once and summed in place, and the same work in one process\n"
            "  load      latency at rates up to more than can be served (the hockey stick); calls by chance\n"
            "  mixture   1 % slow requests, which sleep for 100 x a fast one, four workers: the fast ones beside\n"
            "            the ideal single queue, computed from the same arrivals and measured service times\n"
            "  flow      items of streams, upcalls and leases, each beside the calls they are to be compared with\n",
        .more =
            "Contenders are processes of their own, with private supervisors; whoever is not measured sleeps. Full\n"
            "round trips; every byte is written and read unless it says otherwise. Percentiles need 100 samples\n"
            "beyond them. Gaps between calls are in \"rask bench wake\", other libraries in \"rask bench peers\".\n"
            "Targets not reached are said, and are no error. Ctrl-C ends the run with the figures so far.\n\n"
            "  rask bench sweep\n"
            "  rask bench sweep --part sizes,inflight --pin 0,1 --json sweep.json --plot sweep.svg\n"
            "  rask bench sweep --part mixture --duration 120s\n",
        .options = options,
    };
    struct rk_arguments arguments;
    int code = rk_options_parse(&command, argc, argv, &arguments);
    return code == RK_GO_ON ? rk_suite_main(&rk_sweep, &line) : code;
}
