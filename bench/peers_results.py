#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""peers_results.py JSON [--commit ID] [--into FILE]: the section on peers, from what `rask bench peers --json JSON` wrote (see
section.py): a table for each size, way of waiting and depth.

  rask bench peers --json peers.json
  bench/peers_results.py peers.json --commit $(git rev-parse --short HEAD) --into docs/results.md"""
import sys

from section import machine, noise, siblings, spread, table, time, verdicts, write

KINDS = {"spin": "both sides spin", "park": "both sides sleep when there is nothing", "hello": "Hello World"}


def conditions(at, commit, interrupted):
    machine(at, commit)
    print(f"- Client on processor {at['client_cpu']}, server on {at['worker_cpu']}: {at['cpu_relation']}{siblings(at)}; Node.js, "
          "which is one process, on both.")
    print("- Full round trips between two processes. Every byte of a request is written and read, every byte of an answer is\n"
          "  written, and read where it has more than 32; answers are compared while they are measured. The loop, the payload,\n"
          "  the checks and the clock are the same for all. Contenders take turns in short slices, A B C A B C; the ratio is\n"
          "  between a contender's slice and rask's of the same round: over 1, rask is faster. In brackets the 10th to the\n"
          "  90th percentile of slices. A percentile of latency needs 100 samples beyond it."
          f"{' The run was INTERRUPTED.' if interrupted else ''}\n")


def percentile(entry, name):
    return time((entry.get("latency_ns") or {}).get(name))


def row(one, depth):
    entry = one["depths"].get(str(depth))
    if entry is None:
        return None
    held = "" if entry["in_flight"] == depth else f" ({entry['in_flight']} in flight)"
    name = f"**{one['name']}**" if one["role"] == "rask" else f"*{one['name']}*" if one["role"] == "floor" else one["name"]
    return (name + held, spread(entry["ns_per_call"], time), percentile(entry, "p99"), percentile(entry, "p99.9"),
            percentile(entry, "p99.99"), f"{entry['calls_per_s']:,.0f}", spread(entry["ratio_to_rask"]))


def contest(one):
    hello = one["kind"] == "hello"
    for depth in one["depths"]:
        what = KINDS[one["kind"]] if hello else f"{one['size']} bytes, {KINDS[one['kind']]}"
        print(f"### {what}, {'one at a time' if depth == 1 else f'{depth} in flight'}\n")
        noise(one)
        rows = [cells for cells in (row(contender, depth) for contender in one["contenders"]) if cells]
        table(("", "p50" if depth == 1 else "time per call", "p99", "p99.9", "p99.99", "calls/s", "ratio"), rows)


def missing(contests):
    seen = {}
    for one in contests:
        for contender in one["contenders"]:
            if contender["not_measured"]:
                why = contender["not_measured"].split(": no ")[0]  # without the path on that machine
                seen.setdefault((contender["name"], why), []).append(f"{one['kind']} {one['size']}")
    for (name, why), where in seen.items():
        print(f"- Not measured: {name} ({', '.join(where)}): {why}")
    if seen:
        print()


def configurations(contests):
    seen = {}
    for one in contests:
        for contender in one["contenders"]:
            if contender["configuration"]:
                seen[(contender["name"], one["kind"])] = contender["configuration"]
    print("### Configurations\n")
    table(("", "", ""), [(name, kind, text) for (name, kind), text in sorted(seen.items())])


def section(whole, at):
    print("`rask bench peers`; this section is written by `bench/peers_results.py` from its JSON.\n")
    conditions(whole["conditions"], at.commit, whole["interrupted"])
    missing(whole["contests"])
    verdicts(whole)
    for one in whole["contests"]:
        contest(one)
    configurations(whole["contests"])


if __name__ == "__main__":
    sys.exit(write(__file__, __doc__, "peers", "Peers", section))
