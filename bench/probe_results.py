#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""probe_results.py JSON [--commit ID] [--into FILE]: the section on starting, attaching, idling and memory, from what
`bench/results.py BUILD --json JSON` kept (see section.py).

  bench/results.py build --only spawn --only attach --only idle --only memory --only flat --json probe.json
  bench/probe_results.py probe.json --commit $(git rev-parse --short HEAD) --into docs/results.md"""
import statistics
import sys

from section import table, write

MEMORY_MIB_MAX = 2048
FLAT_KIB_MAX = 1024


def verdict(what, value, limit, unit):
    return (what, f"at most {limit:g} {unit}", f"{value:.3g} {unit}", "reached" if value <= limit else "**not reached**")


def noisy(one):
    return "**noisy**" if one["noisy"] else ""


def median(runs, key):
    return statistics.median(one[key] for one in runs)


def targets(parts):
    if "spawn" in parts:
        yield verdict("spawn to the first answer", median(parts["spawn"], "spawn_p50_ms"), 50, "ms")
    if "attach" in parts:
        yield verdict("attach", median(parts["attach"], "attach_p50_ms"), 2, "ms")
    for one in parts.get("memory", ()):
        yield verdict(f"{one['sessions']} sessions x {one['workers']} workers, all lanes open", one["shared_mib"], MEMORY_MIB_MAX,
                      "MiB")
    for one in parts.get("flat", ()):
        yield verdict(f"memory grows over {one['calls']:,} calls by", max(0, one["after_kib"] - one["before_kib"]),
                      FLAT_KIB_MAX, "KiB")


def times(parts):
    rows = [(f"{what}{', ' + one['name'] if what == 'attach' else ''}", f"{one[what + '_p50_ms']:.2f} ms",
             f"{one[what + '_max_ms']:.2f} ms", noisy(one)) for what in ("spawn", "attach") for one in parts.get(what, ())]
    if rows:
        table(("", "p50", "slowest", ""), rows)


def idle(parts):
    rows = [(one["name"], one["processes"], f"{one['idle_ms'] / 1000:.0f} s", f"{one['cpu_us'] / 1000:.1f} ms", one["switches"],
             noisy(one)) for one in parts.get("idle", ())]
    if rows:
        table(("idle pool", "processes", "for", "processor time", "switches", ""), rows)


def memory(parts):
    for one in parts.get("memory", ()):
        print(f"Of shared memory a session without lanes maps {one['session_bytes']:,} bytes, each open lane (one worker of one\n"
              f"session) {one['lane_bytes']:,} more. {one['sessions']} sessions x {one['workers']} workers, {one['lanes']:,} lanes: "
              f"{one['shared_mib']:.0f} MiB shared,\n{one['resident_mib']:.0f} MiB with everything private.{' ' + noisy(one) if noisy(one) else ''}\n")
    for one in parts.get("flat", ()):
        print(f"{one['calls']:,} calls, 128 in flight, in {one['seconds']:.0f} s: supervisor, worker and client held "
              f"{one['before_kib'] / 1024:.2f} MiB before and {one['after_kib'] / 1024:.2f} MiB behind them.\n")


def section(whole, at):
    parts = whole["parts"]
    print("`bench/results.py build --json`; this section is written by `bench/probe_results.py` from its JSON.\n")
    print(f"- {'Commit ' + at.commit + '; ' if at.commit else ''}{whole['date']}; load {whole['load']:.2f}. Machine as above.")
    print("- Noisy: others used more than 15 % of the processors just before or just behind it.\n")
    for part in (times, idle, memory):
        part(parts)
    table(("target", "", "measured", ""), list(targets(parts)))


if __name__ == "__main__":
    sys.exit(write(__file__, __doc__, "probe", "Starting, idling, memory", section))
