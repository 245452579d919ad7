#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""results.py BUILD [--rounds N] [--only PART]... [--json FILE]: measure what docs/results.md reports and `rask bench` does not,
and print it as Markdown.

PART is one of latency calls spawn attach idle memory flat; without --only all of them. BUILD is the meson build folder.
--json FILE keeps what spawn, attach, idle, memory and flat measured, for probe_results.py.
Every run waits until the machine is quiet (at most --patience seconds, 60) and is marked as noisy if it was not, before or after.
On a virtual machine the processors' distance may change between runs: it is told by the floor of each."""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BUSY_MAX = 0.15  # of all processors, by others
FLAT_CALLS, FLAT_S = 100_000_000, 40  # whichever is over first
WORKERS_IDLE, WORKERS_MANY, SESSIONS = 16, 64, 64
# What the floor of a round trip, of 32 bytes and of 1 KiB, says of the two processors: up to so many ns.
DISTANCES = {32: ((72, "SMT-like"), (180, "neighbours"), (1e9, "far")),
             1024: ((220, "SMT-like"), (700, "neighbours"), (1e9, "far"))}
LATENCY = (
    ("32 B, depth 1", ["--wait", "spin", "--size", "32"]),
    ("32 B, 128 in flight", ["--wait", "spin", "--size", "32", "--inflight", "128"]),
    ("1 KiB, depth 1", ["--wait", "spin", "--size", "1K"]),
    ("32 B, depth 1, hybrid", ["--wait", "hybrid", "--size", "32"]),
    ("32 B, depth 1, park", ["--wait", "park", "--size", "32"]),
)
CHANGING = 0.25
TRACE_LINES_MAX = 6


def busy():
    def read():
        numbers = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        return sum(numbers), numbers[3] + numbers[4]

    total, idle = read()
    time.sleep(0.25)
    total_later, idle_later = read()
    return 1 - (idle_later - idle) / max(1, total_later - total)


patience_s = 60
kept = {}  # part -> what its runs said


def wait_for_quiet():
    until = time.time() + patience_s
    while busy() > BUSY_MAX:
        if time.time() > until:
            return False
        time.sleep(1)
    return True


def run(*command):
    """Its line of JSON, with "noisy" added."""
    quiet = wait_for_quiet()
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{command}: exit code {done.returncode}\n{done.stderr}")
    out = json.loads(done.stdout.splitlines()[-1])
    out["noisy"] = not quiet or busy() > BUSY_MAX
    return out


def keep(part, name, *command):
    """Run it, print its line, keep it for --json."""
    one = {"name": name, **run(*command)}
    kept.setdefault(part, []).append(one)
    print(name, json.dumps(one), flush=True)


class Supervisor:
    def __init__(self, rask, *arguments):
        self.folder = tempfile.TemporaryDirectory()
        self.socket = f"{self.folder.name}/s"
        command = [str(word) for word in (rask, "run", "--socket", self.socket, *arguments)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        if not self.process.stdout.readline().startswith("ready"):
            sys.exit("the supervisor is not ready")
        time.sleep(0.5)  # for the workers behind the first
        return self.socket

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.folder.cleanup()


def distance(one):
    """Of its processors; "changing" when the median call and the median slice tell different stories."""
    if one["inflight"] == 1 and abs(1e9 / one["calls_per_s_p50"] / one["p50_ns"] - 1) > CHANGING:
        return "changing"
    return next(name for limit, name in DISTANCES[one["size"]] if one["floor_p50_ns"] < limit)


def row(*cells):
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def median(runs, key):
    return statistics.median(one[key] for one in runs if one[key] is not None)


def latency(at, rounds):
    """All kinds in turn; each run sorted by its own distance."""
    sorted_runs = {}
    row("run", "distance", "rask p50", "floor", "sealed floor", "ratio_p50", "ratio_sealed_p50", "M calls/s", "noisy")
    row(*["---"] * 9)
    for number in range(rounds):
        for name, arguments in LATENCY:
            one = run(at.rask, "bench", "--pin", "0,1", "--duration", "2s", "--json", *arguments)
            here = distance(one)
            sorted_runs.setdefault((name, here), []).append(one)
            print_latency(f"{number + 1}: {name}", here, one, one["noisy"])
    for (name, here), runs in sorted(sorted_runs.items()):
        quiet = [one for one in runs if not one["noisy"]] or runs
        keys = "p50_ns floor_p50_ns floor_sealed_p50_ns ratio_p50 ratio_sealed_p50 calls_per_s_p50".split()
        print_latency(f"**{name}**, median of {len(quiet)}", here, {key: median(quiet, key) for key in keys},
                      all(one["noisy"] for one in runs))
    print("\n" + json.dumps({key: one[key] for key in ("engine", "barrier", "environment")}))


def print_latency(name, here, one, noisy):
    row(name, here, f"{one['p50_ns']:.1f} ns", f"{one['floor_p50_ns']:.1f} ns", f"{one['floor_sealed_p50_ns']:.1f} ns",
        f"{one['ratio_p50']:.3f}", f"{one['ratio_sealed_p50']:.3f}", f"{one['calls_per_s_p50'] / 1e6:.2f}",
        "noisy" if noisy else "")


def traced(at, count, depth):
    """System calls of all processes: in the whole run, and between the two marks."""
    with tempfile.NamedTemporaryFile("r") as log:
        subprocess.run(["strace", "-f", "-o", log.name, at.probe, "calls", str(count), str(depth), "32"], check=True,
                       stdout=subprocess.DEVNULL)
        lines = [line for line in log if not re.search(r"---|\+\+\+|resumed>", line)]
    begin = next(i for i, line in enumerate(lines) if "calls begin" in line)
    end = next(i for i, line in enumerate(lines) if "calls end" in line)
    return len(lines), lines[begin + 1 : end]


def counted(at, count, depth):
    """The total of strace -c -f."""
    with tempfile.NamedTemporaryFile("r") as log:
        subprocess.run(["strace", "-c", "-f", "-o", log.name, at.probe, "calls", str(count), str(depth), "32"],
                       check=True, stdout=subprocess.DEVNULL)
        return int(re.search(r"(\d+)(?: +\d+)? total", log.read()).group(1))


def calls(at, rounds):
    for depth in (1, 128):
        for count in (100_000, 5_000_000):
            totals = [counted(at, count, depth) for _ in range(3)]
            _, between = traced(at, count, depth)
            print(f"- depth {depth}, {count} calls: strace -c -f {totals} system calls in the whole run; "
                  f"between first and last call {len(between)}", flush=True)
            for line in between[:TRACE_LINES_MAX]:
                print("    " + line.strip())


def spawn(at, rounds):
    for _ in range(rounds):
        keep("spawn", "spawn", at.probe, "spawn", 20)


def attach(at, rounds):
    for wait in ("hybrid", "park"):
        with Supervisor(at.rask, "--plugin", "echo", "--wait", wait) as socket:
            for _ in range(rounds):
                keep("attach", wait, at.probe, "attach", socket, 50)


def idle(at, rounds):
    for wait in ("hybrid", "park"):
        with Supervisor(at.rask, "--plugin", "sleep", "--workers", WORKERS_IDLE, "--wait", wait) as socket:
            keep("idle", wait, at.probe, "idle", socket, 10000)


def memory(at, rounds):
    with Supervisor(at.rask, "--plugin", "sleep", "--workers", WORKERS_MANY) as socket:
        keep("memory", "memory", at.probe, "memory", socket, SESSIONS)


def flat(at, rounds):
    with Supervisor(at.rask, "--plugin", "echo") as socket:
        keep("flat", "flat", at.probe, "flat", socket, at.calls, FLAT_S)


PARTS = {"latency": latency, "calls": calls, "spawn": spawn, "attach": attach, "idle": idle, "memory": memory, "flat": flat}


def main():
    global patience_s
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", action="append", choices=PARTS)
    parser.add_argument("--calls", type=int, default=FLAT_CALLS, help="of part flat")
    parser.add_argument("--patience", type=float, default=patience_s, help="seconds to wait for a quiet machine before each run")
    parser.add_argument("--json", type=Path, help="keep what was measured there")
    at = parser.parse_args()
    patience_s = at.patience
    at.rask, at.probe = at.build.resolve() / "workers/rask", at.build.resolve() / "bench/rask-probe"
    os.environ["RASK_BIN"] = str(at.rask)
    for part in at.only or PARTS:
        print(f"\n### {part}, {time.strftime('%H:%M:%S')}, load {os.getloadavg()[0]:.2f}\n", flush=True)
        PARTS[part](at, at.rounds)
    if at.json:
        date = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        at.json.write_text(json.dumps({"date": date, "load": os.getloadavg()[0], "parts": kept}, indent=1) + "\n")


if __name__ == "__main__":
    main()
