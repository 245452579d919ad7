#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Counts what `meson test` left in build folders and prints one summary.

A cmocka program counts once per test function, anything else once per meson test. Every failure is named and every skip
is shown with its reason: the last line the test printed before it was skipped. The last line of output is always
`N passed, N failed, N skipped`; the exit code is 1 if anything failed, or if nothing passed."""
import argparse
import glob
import json
import os
import re
import sys

CASE = re.compile(r"^\[ *(OK|FAILED|SKIPPED|ERROR) *\] (?!\d+ test)(.+)$")
START = re.compile(r"^\[ *RUN *\] (.+)$")


def last_line(text):
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("[")]
    return lines[-1] if lines else ""


def skip_reason(name, said, stderr):
    """What the test said on standard output, else a line of standard error that names it."""
    if said:
        return said[-1]
    for line in stderr.splitlines():
        if not line.startswith("[") and name in line:
            return line.strip()
    return "no reason given"


def cases_of(log):
    """(kind, name, reason) for each test function of a cmocka program."""
    said = []
    for line in log.get("stdout", "").splitlines():
        match = CASE.match(line)
        if START.match(line):
            said = []
        elif match:
            kind, name = match.groups()
            if kind == "SKIPPED":
                yield "skipped", name, skip_reason(name, said, log.get("stderr", ""))
            else:
                yield ("passed" if kind == "OK" else "failed"), name, ""
            said = []
        elif line.strip() and not line.startswith("["):
            said.append(line.strip())


def results_of(log):
    result = log["result"]
    good = result in ("OK", "EXPECTEDFAIL")
    cases = list(cases_of(log))
    if result == "SKIP":
        reason = last_line(log.get("stdout", "")) or last_line(log.get("stderr", "")) or "no reason given"
        return [("skipped", "", reason)]
    if not cases:
        return [("passed" if good else "failed", "", "" if good else result.lower())]
    if not good and not any(kind == "failed" for kind, _, _ in cases):
        cases.append(("failed", "", f"{result.lower()}, exit code {log.get('returncode')}"))
    return cases


def read_logs(folder):
    paths = glob.glob(os.path.join(folder, "meson-logs", "testlog*.json"))
    for path in paths:
        with open(path, encoding="utf-8") as file:
            for line in file:
                if line.strip():
                    yield json.loads(line)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--failed-builds", default="", help="build folders that did not build, separated by blanks")
    parser.add_argument("folders", nargs="*")
    options = parser.parse_args()

    total = {"passed": 0, "failed": 0, "skipped": 0}
    notes = {"failed": [], "skipped": []}
    for folder in options.failed_builds.split():
        total["failed"] += 1
        notes["failed"].append(f"{folder}: does not build")
    for folder in options.folders:
        here = {"passed": 0, "failed": 0, "skipped": 0}
        for log in read_logs(folder):
            for kind, name, reason in results_of(log):
                here[kind] += 1
                if kind != "passed":
                    test = " / ".join(part for part in (log["name"], name) if part)
                    notes[kind].append(f"{folder}: {test}" + (f": {reason}" if reason else ""))
        if sum(here.values()) == 0:
            here["failed"] = 1
            notes["failed"].append(f"{folder}: no test ran")
        print(f"{folder:<12} " + ", ".join(f"{count} {kind}" for kind, count in here.items()))
        for kind, count in here.items():
            total[kind] += count
    for kind in ("skipped", "failed"):
        for note in notes[kind]:
            print(f"  {kind}: {note}")
    print(", ".join(f"{count} {kind}" for kind, count in total.items()))
    return 1 if total["failed"] or not total["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
