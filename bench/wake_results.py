#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""wake_results.py JSON [--commit ID] [--plot PATH] [--into FILE]: the section on waiting, from what
`rask bench wake --json JSON` wrote (see section.py).

  rask bench wake --json wake.json --plot docs/wake-gaps.svg
  bench/wake_results.py wake.json --commit $(git rev-parse --short HEAD) --plot wake-gaps.svg --into docs/results.md"""
import sys

from section import machine, parts, siblings, spread, table, time, write


def parked(part):
    rows = []
    for where in ("one core", "two cores"):
        for side in ("rask", "futex") if where in part else ():
            one = part[where][side]
            calls = one["system_calls_per_call"]
            rows.append((where, side, spread(one["p50_ns"], time), "-" if calls is None else f"{calls:.2f}",
                         f"{one['sleeps_per_call']:.2f}", spread(part[where]["ratio"]) if side == "rask" else ""))
    table(("", "", "p50", "system calls", "sleeps", "ratio"), rows)
    counted = any(row[3] != "-" for row in rows)
    print(("System calls are counted by the kernel (raw_syscalls tracepoint) in slices of their own, client and worker\n"
           "together" if counted else
           "System calls were not counted: the kernel's tracepoint (raw_syscalls) could not be opened\n"
           "(as root: `mount -t tracefs nodev /sys/kernel/tracing` makes it visible)")
          + "; sleeps are voluntary\ncontext switches.\n")


def rate(calls_per_s):
    return f"{calls_per_s / 1e6:.2f} M/s"


def gain(one):
    return f"{one['barrier']}; the first is {spread(one['gain'])} times as fast"


def busy(part):
    one, many = part["depth_1"], part["pipeline"]
    table(("", "", ""), (
        ("depth 1", f"{time(one['p50_ns'])}; floor {time(one['floor_p50_ns'])}, sealed floor "
                    f"{time(one['floor_sealed_p50_ns'])}", f"ratio {spread(one['ratio'])}, sealed {one['ratio_sealed_p50']:.2f}"),
        ("128 in flight", spread(many["light"], rate), many["light"]["barrier"]),
        ("the same, and a fence per message", spread(many["fence_only"], rate), gain(many["fence_only"])),
        ("the same where rask has to fence", spread(many["fence"], rate), gain(many["fence"]))))


GAPS = {0: "0", 1000: "1 us", 10000: "10 us", 100000: "100 us", 1000000: "1 ms", 10000000: "10 ms"}


def gaps(part):
    print(f"Spin budget of hybrid: {time(part['spin_budget_ns'])}. A call is sent a gap after the last answer; gaps under\n"
          "100 us are spent spinning on the clock, others asleep, and what that costs is taken off. CPU is client and\n"
          "worker together.\n")
    rows = [(GAPS.get(cell["gap_ns"], time(cell["gap_ns"])), cell["mode"], time(cell["p50_ns"]), time(cell["p99_ns"]),
             time(cell["cpu_ns_per_call"]["p50"]), cell["calls"]) for cell in part["cells"]]
    table(("gap", "wait", "p50", "p99", "CPU per call", "calls"), rows)


def idle(part):
    rows = []
    for mode in ("hybrid", "park"):
        one = part[mode]
        period = one["wakeup_period_s"]
        rows.append((mode, one["processes"], one["lanes_open"], f"{one['cpu_ticks_s']:.2f} s",
                     f"{one['cpu_schedstat_ms']:.1f} ms", one["wakeups"], "none" if period is None else f"{period:.1f} s"))
    print(f"64 workers and 64 sessions with nothing to do for {part['park']['idle_s']:.1f} s; \"every\" is how often the\n"
          "process woke that woke most.\n")
    table(("wait", "processes", "lanes", "CPU, ticks", "CPU, schedstat", "wake-ups", "every"), rows)
    in_10_s = " and ".join(f"{part[mode]['cpu_schedstat_ms'] * 10 / part[mode]['idle_s']:.1f} ms ({mode})"
                           for mode in ("hybrid", "park"))
    print(f"The verdicts count clock ticks, which miss short runs. By schedstat 10 s cost {in_10_s}, all\n"
          f"processes together; {part['verdicts'][0]['target'] * 1e3:.0f} ms is the target.\n")


def workers(part):
    rows = [(one["clients"], one["workers"], spread(one["calls_per_s"], lambda rate: f"{rate / 1e6:.3f} M"),
             spread(one["to_2_workers"])) for one in part["pools"]]
    table(("clients", "workers", "calls/s", "to 2 workers"), rows)


def batch(part):
    rows = []
    for way, name in (("together", "one wake for all"), ("each", "a wake each")):
        calls = part[way]["system_calls_per_batch"]
        rows.append((name, "-" if calls is None else f"{calls:.2f}", spread(part[way]["p50_ns"], time)))
    table((f"16 requests to 16 sleeping workers, engine {part['engine']}", "system calls", "time of the submitting side"), rows)
    print(f"Saved per batch: {spread(part['saved_ns'], lambda ns: f'{ns / 1e3:.1f} us')}.\n")


PARTS = {"parked": parked, "busy": busy, "gaps": gaps, "idle": idle, "workers": workers, "batch": batch}


def section(whole, at):
    here = whole["conditions"]
    print("`rask bench wake`; this section is written by `bench/wake_results.py` from its JSON.\n")
    machine(here, at.commit)
    print(f"- Client on processor {here['client_cpu']}, worker on {here['worker_cpu']}: {here['cpu_relation']}{siblings(here)}. "
          "Parts idle and workers are not pinned.")
    print("- Contenders are processes of their own and take turns in short slices; ratios are medians of the ratios of\n"
          "  neighbouring slices, in brackets the 10th to the 90th percentile. p99 needs 100 samples beyond it."
          f"{' The run was INTERRUPTED.' if whole['interrupted'] else ''}\n")
    pictures = {"gaps": (at.plot, "latency and processor time against the gap")}
    parts(whole, PARTS, pictures)


if __name__ == "__main__":
    sys.exit(write(__file__, __doc__, "waiting", "Waiting", section))
