#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench_sections.py ROOT RASK: the writers of docs/results.md, on JSON that RASK has just written. Each makes its section, with
the rows that were measured; a second run replaces it and touches nothing else of the document."""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

HAND_WRITTEN = "# What was measured\n\nBy hand.\n\n## Before\n\n<!-- a remark -->\n\ntext\n"
BEHIND = "\n## Behind\n\nmore text, with a backslash \\1 and a mark <!-- sweep -->\n"
PROBE = {"date": "2026-01-01T00:00:00Z", "load": 0.1, "parts": {
    "spawn": [{"name": "spawn", "rounds": 20, "spawn_p50_ms": 3.5, "spawn_max_ms": 8.1, "noisy": False}],
    "attach": [{"name": "park", "rounds": 50, "attach_p50_ms": 2.5, "attach_max_ms": 3.0, "noisy": True}],
    "flat": [{"name": "flat", "calls": 1000, "seconds": 1.0, "before_kib": 2000, "after_kib": 9000, "session_bytes": 1,
              "noisy": False}]}}

faults = []


def expect(true, what):
    if not true:
        faults.append(what)


def measured(rask, *arguments):
    done = subprocess.run([rask, "bench", *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"rask bench {' '.join(arguments)}: exit code {done.returncode}: {done.stderr}")
    return done.stdout


def write(root, script, source, document, *more):
    subprocess.run([sys.executable, root / "bench" / script, source, "--into", document, *more], check=True)


def check(root, folder, script, name, content, wanted):
    """The section of one writer: made, made again, and what stands around it."""
    source, document = folder / f"{name}.json", folder / f"{name}.md"
    source.write_text(content)
    before = HAND_WRITTEN + f"A mark (`<!-- {name}: begin ... -->`) that is only mentioned.\n"
    document.write_text(before)
    write(root, script, source, document, "--commit", "aaa1111")
    document.write_text(document.read_text() + BEHIND)
    write(root, script, source, document, "--commit", "bbb2222", "--remark", "Again.")
    text = document.read_text()
    expect(text.startswith(before), f"{script}: what stood before is not as it was")
    expect(text.endswith(BEHIND), f"{script}: what stood behind is not as it was")
    expect(text.count(f"\n<!-- {name}: begin") == 1 and text.count(f"<!-- {name}: end -->") == 1, f"{script}: not one section")
    expect("aaa1111" not in text and "bbb2222" in text, f"{script}: it was not replaced")
    expect("**Again.**" in text, f"{script}: no remark")
    for part in wanted:
        expect(part in text, f"{script}: no \"{part}\" in\n{text}")


def main():
    root, rask = Path(sys.argv[1]), sys.argv[2]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        sweep = measured(rask, "sweep", "--part", "handlers,payload", "--duration", "40ms", "--json", "-")
        verdicts = json.loads(sweep)["parts"]["payload"]["verdicts"]
        words = ["reached" if one["reached"] else "**not reached**" for one in verdicts]
        check(root, folder, "sweep_results.py", "sweep", sweep,
              ["### Handlers", "| 100 us |", "### Payload", "| 256 KiB |", *(f"{one['what']} | at least 0.9" for one in verdicts),
               *words])
        check(root, folder, "wake_results.py", "waiting", measured(rask, "wake", "--part", "batch", "--duration", "40ms", "--json", "-"),
              ["### Batch", "| a wake each |", "system calls per batch"])
        check(root, folder, "peers_results.py", "peers",
              measured(rask, "peers", "--only", "pipe", "--wait", "park", "--size", "32", "--inflight", "1", "--duration", "20ms",
                       "--json", "-"), ["| **rask** |", "| pipe |", "### Configurations"])
        lines = [measured(rask, "--wait", "park", "--duration", "40ms", "--json", "--inflight", depth) for depth in ("1", "16")]
        check(root, folder, "busy_results.py", "busy", "".join(lines), ["| 32 bytes, 1 in flight, `park` |", "| 32 bytes, 16 in flight"])
        check(root, folder, "probe_results.py", "probe", json.dumps(PROBE),
              ["| spawn to the first answer | at most 50 ms | 3.5 ms | reached |", "| attach | at most 2 ms | 2.5 ms | **not reached** |",
               "| memory grows over 1,000 calls by | at most 1024 KiB | 7e+03 KiB | **not reached** |"])
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
