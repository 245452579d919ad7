#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""peers_results.py JSON [--commit ID] [--into FILE]: the section on peers of docs/results.md, as Markdown, from what
`rask bench peers --json JSON` wrote. Conditions first, then a table for each size, way of waiting and depth, then the
verdicts, losses as plainly as wins. --into FILE replaces the section of that heading there, or adds it at the end.

  rask bench peers --json peers.json
  bench/peers_results.py peers.json --commit $(git rev-parse --short HEAD) --into docs/results.md"""
import argparse
import contextlib
import io
import json
import re
import sys
from pathlib import Path

from wake_results import spread, table, time, verdicts

HEADING = "## Peers"
KINDS = {"spin": "both sides spin", "park": "both sides sleep when there is nothing", "hello": "Hello World"}


def conditions(at, commit, interrupted):
    print(f"- {at['cpu']}, {at['architecture']}, {at['cpus_online']} processors, {at['cpus_usable']} usable"
          f"{' (a virtual machine)' if at['virtual'] else ''}; {at['kernel']}; clock source {at['clock_source']}, "
          f"{at['clock_read_ns']:.0f} ns a read.")
    print(f"- {at['build']}{', commit ' + commit if commit else ''}; {at['date']}; load {at['load']:.2f} at the start.")
    print(f"- Client on processor {at['client_cpu']}, server on {at['worker_cpu']}: {at['cpu_relation']}"
          f"{' (two threads of one core)' if at.get('smt_siblings') else ''}; Node.js, which is one process, on both.")
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
        if one["noisy"]:
            print(f"**Noisy**: others used {one['busy_before']:.0%} of the processors just before, {one['stolen']:.1%} of the "
                  f"time was stolen, load {one['load']:.1f}.\n")
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


def section(whole, commit):
    print(f"{HEADING}\n\n`rask bench peers`; this section is written by `bench/peers_results.py` from its JSON.\n")
    conditions(whole["conditions"], commit, whole["interrupted"])
    missing(whole["contests"])
    verdicts(whole)
    for one in whole["contests"]:
        contest(one)
    configurations(whole["contests"])


def replaced(document, text):
    """The document with this text in place of the section of its heading."""
    parts = re.split(r"(?m)^(?=## )", document)
    ours = [i for i, part in enumerate(parts) if part.startswith(HEADING + "\n")]
    if not ours:
        return document.rstrip("\n") + "\n\n" + text
    last = ours[-1] == len(parts) - 1
    parts[ours[-1]] = text if last else text + "\n"
    return "".join(part for i, part in enumerate(parts) if i not in ours[:-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("json", type=Path)
    parser.add_argument("--commit")
    parser.add_argument("--into", type=Path, help="the document to change; otherwise standard output")
    at = parser.parse_args()
    whole = json.loads(at.json.read_text())
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        section(whole, at.commit)
    text = out.getvalue().rstrip("\n") + "\n"
    if at.into:
        at.into.write_text(replaced(at.into.read_text(), text))
    else:
        print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
