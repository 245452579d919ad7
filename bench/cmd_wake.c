/* SPDX-License-Identifier: MIT */
/* `rask bench wake`: the parts and the command line. Everything else is suite_command.c. */
#include "bench.h"
#include "exit_codes.h"
#include "options.h"
#include "wake.h"

static const struct rk_part parts[RK_WAKE_PARTS] = {
    [RK_WAKE_PARKED] = {"parked", 8, rk_wake_parked},    [RK_WAKE_BUSY] = {"busy", 8, rk_wake_busy},
    [RK_WAKE_GAPS] = {"gaps", 24, rk_wake_gaps},         [RK_WAKE_IDLE] = {"idle", 10, rk_wake_idle},
    [RK_WAKE_WORKERS] = {"workers", 8, rk_wake_workers}, [RK_WAKE_BATCH] = {"batch", 3, rk_wake_batch},
};

const struct rk_suite_kind rk_wake = {.name = "wake",
                                      .parts = parts,
                                      .count = RK_WAKE_PARTS,
                                      .drawn = 1u << RK_WAKE_GAPS,
                                      .loose = "idle, workers",
                                      .draw = rk_wake_draw};

int cmd_bench_wake(int argc, char **argv)
{
    struct rk_suite_line line = {.part = NULL};
    const struct rk_option options[] = {
        RK_SUITE_OPTIONS(&line, "1m", "plot the gaps"),
        {.name = NULL},
    };
    const struct rk_command command = {
        .name = "bench wake",
        .about =
            "Measure waiting: what it costs to sleep and to be woken, and what it costs when nobody sleeps. Each\n"
            "figure beside its floor or its counterpart in the same run, in short slices in turns.\n\n"
            "parts:\n"
            "  parked    round trip with both sides asleep, beside a bare futex ping-pong; one core, two cores\n"
            "  busy      32 bytes at depth 1 beside the floor; 128 in flight without and with a fence per message\n"
            "  gaps      pauses of 0, 1, 10, 100 us, 1, 10 ms before a call, for spin, hybrid and park: latency\n"
            "            and processor time per call\n"
            "  idle      processor time and wake-ups of 64 workers and 64 sessions that have nothing to do\n"
            "  workers   throughput of 2 to 64 workers on the processors there are\n"
            "  batch     16 requests to 16 sleeping workers, with one wake for all and with a wake each\n",
        .more = "Contenders are processes of their own, with private supervisors and the echo plugin; whoever is not\n"
                "measured sleeps. Percentiles need 100 samples beyond them: p99 of long gaps needs a long --duration.\n"
                "System calls are counted by the kernel where that is allowed (root, CAP_PERFMON), else not at all.\n"
                "Targets not reached are said, and are no error. Ctrl-C ends the run with the figures so far.\n\n"
                "  rask bench wake\n"
                "  rask bench wake --part parked,gaps --pin 0,1 --json wake.json --plot gaps.svg\n"
                "  rask bench wake --part gaps --duration 600s\n",
        .options = options,
    };
    struct rk_arguments arguments;
    int code = rk_options_parse(&command, argc, argv, &arguments);
    return code == RK_GO_ON ? rk_suite_main(&rk_wake, &line) : code;
}
