#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""busy_results.py JSON [--commit ID] [--plot PATH] [--into FILE]: the section on busy round trips, from a file to which several
`rask bench --json` have written their lines (see section.py).

  rask bench --wait spin --pin 0,1 --plot docs/round-trip.svg --json >busy.json
  rask bench --wait spin --pin 0,1 --inflight 128 --json >>busy.json
  bench/busy_results.py busy.json --plot round-trip.svg --into docs/results.md"""
import sys

from section import machine, picture, rate, table, time, write

TARGETS = {("spin", 32, 1): (("ratio_p50", "p50 / the floor's", 1.10), ("ratio_p99", "p99 / the floor's p99", 1.5))}


def name(run):
    return f"{run['size']} bytes, {run['inflight']} in flight, `{run['worker_wait']}`"


def with_p99(run):
    """The ratio of tails: both of samples that were each timed alone."""
    known = run["p99_ns"] and run["floor_p99_ns"]
    return {**run, "ratio_p99": run["p99_ns"] / run["floor_p99_ns"] if known else None}


def ratio(run, key):
    low, high = run[key + "_p10"], run[key + "_p90"]
    like = run["inflight"] == 1 and run["worker_wait"] != "park"  # the floors spin, one at a time
    return "-" if run[key] is None or not like else f"{run[key]:.2f} ({low:.2f} .. {high:.2f})"


def row(run):
    return (name(run), time(run["p50_ns"]), *(time(run[key]) for key in ("p90_ns", "p99_ns", "p99_9_ns", "p99_99_ns", "p99_999_ns")),
            time(run["max_ns"]), time(run["floor_p50_ns"]), time(run["floor_p99_ns"]), time(run["floor_sealed_p50_ns"]),
            ratio(run, "ratio_p50"), ratio(run, "ratio_sealed_p50"), rate(run["calls_per_s_p50"] or 0),
            "**noisy**" if run["noisy"] else "")


def targets(runs):
    rows = []
    for run in map(with_p99, runs):
        for key, what, limit in TARGETS.get((run["worker_wait"], run["size"], run["inflight"]), ()):
            value = run[key]
            reached = "" if value is None else "reached" if value <= limit else "**not reached**"
            rows.append((f"{name(run)}: {what}", f"at most {limit:.3g}", "not measured" if value is None else f"{value:.3g}",
                         reached))
    table(("target", "", "measured", ""), rows)


def section(runs, at):
    runs = runs if isinstance(runs, list) else [runs]
    first = runs[0]
    print("`rask bench --json`; this section is written by `bench/busy_results.py` from its lines.\n")
    machine(first["environment"], at.commit)
    print(f"- Pinning: {first['pinning']}{': ' + first['environment']['cpu_relation'] if first['environment']['cpu_relation'] else ''}; "
          f"engine {first['engine']}, barrier {first['barrier']}.")
    print("- Full round trips between two processes, floors and rask in turn. p50 and ratios from batches between two clock\n"
          "  reads, other percentiles from round trips each with a clock read in it, and of a pipeline from one call in 61. The\n"
          "  floor is the best bare ping-pong over lines that both sides may write, the sealed one over memory like its rings'. In\n"
          "  brackets the 10th to the 90th percentile of slices.")
    for note in sorted({note for run in runs for note in run["notes"]}):
        print(f"- Note: {note}.")
    print()
    picture(at.plot, "latency against percentile, rask and the floor")
    table(("", "p50", "p90", "p99", "p99.9", "p99.99", "p99.999", "max", "floor p50", "floor p99", "sealed floor p50", "ratio",
           "ratio to the sealed", "calls/s", ""), [row(run) for run in runs])
    targets(runs)


if __name__ == "__main__":
    sys.exit(write(__file__, __doc__, "busy", "Busy round trips", section))
