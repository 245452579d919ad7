#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""check.py [--expect PROPERTY] [--show] MODEL.pml [NAME[=VALUE]]...: one exhaustive run of spin over a model.

Generates the checker with spin, compiles it and looks at every state that can be reached. Passes if no property fails
and nothing of the model stayed unreached; with --expect, if exactly that property fails: the name in the model's
assert(!PROPERTY), or `deadlock`. A search that was cut short (depth, memory) fails in both cases. --show prints the steps
of a counterexample. The last line is a summary: states, steps of the longest path or of the shortest counterexample, time."""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

DEPTH_MAX = 100000
MEMORY_MB = 2000
# Depth first needs less memory for a whole search; breadth first finds the shortest counterexample.
PROOF = ["-O1", "-DSAFETY"]
SEARCH = ["-O0", "-DSAFETY", "-DBFS"]


def run(command, folder):
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


def build(options, folder):
    defines = ["-D" + define for define in options.defines]
    code, said = run(["spin", "-a", *defines, os.path.abspath(options.model)], folder)
    if code != 0 or "rror" in said:
        sys.exit(f"spin -a failed:\n{said}")
    compiler = os.environ.get("CC", "cc").split()
    flags = SEARCH if options.expect else PROOF
    code, said = run([*compiler, "-w", *flags, f"-DMEMLIM={MEMORY_MB}", "-o", "pan", "pan.c"], folder)
    if code != 0:
        sys.exit(f"the checker does not compile:\n{said}")


def replay(options, folder):
    """The steps of the counterexample: who, which line, which statement."""
    defines = ["-D" + define for define in options.defines]
    trail = os.path.basename(options.model) + ".trail"
    said = run(["spin", "-k", trail, "-p", *defines, os.path.abspath(options.model)], folder)[1]
    steps = re.findall(r"^ *(\d+):\s+proc +\d+ \((\w+):\d+\) \S+?:(\d+) \(state \d+\)\s+\[(.*)\]$", said, re.M)
    return "\n".join(f"{step:>4} {who:<10} line {line:>3}  {what}" for step, who, line, what in steps) or said


def failed_property(said):
    """What failed, or None: the name in assert(!NAME), `deadlock`, or the text of another error."""
    error = re.search(r"^pan:\d+: (.*?) \(at depth", said, re.M)
    if not error:
        return None
    if "invalid end state" in error.group(1):
        return "deadlock"
    named = re.search(r"assertion violated *!\(? *(\w+) *\)?$", error.group(1).strip())
    return named.group(1) if named else error.group(1)


def unreached(said):
    """Statements that no path came to. The ends of processes that run for ever do not count."""
    return [line.strip() for line in said.splitlines() if re.match(r"\s+\S+:\d+, state \d+, ", line) and "-end-" not in line]


def complaint(said, code, expected):
    if re.search(r"max search depth too small|out of memory|reached -DMEMLIM|memory limit", said):
        return "the search was cut short"
    if "Version" not in said:
        return f"the checker ended with {code}"
    failed = failed_property(said)
    if failed != expected:
        return f"failed property: {failed}, expected: {expected}"
    missed = [] if expected else unreached(said)
    return "never reached: " + "; ".join(missed) if missed else None


def figure(said, pattern):
    match = re.search(pattern, said)
    return match.group(1) if match else "?"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--expect", metavar="PROPERTY")
    parser.add_argument("--show", action="store_true")
    parser.add_argument("model")
    parser.add_argument("defines", nargs="*")
    options = parser.parse_args()
    if not shutil.which("spin"):
        sys.exit("spin is not installed: ./dev setup installs it")
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        build(options, folder)
        table = 18 if options.expect else 22  # log2 of the hash table, which is cleared first
        code, said = run(["./pan", f"-m{DEPTH_MAX}", f"-w{table}"], folder)
        fault = complaint(said, code, options.expect)
        if fault:
            print(said)
        if (fault or options.show) and failed_property(said):
            print(replay(options, folder))
    name = " ".join([os.path.basename(options.model), *options.defines])
    steps = figure(said, r"at depth (\d+)\)" if options.expect else r"depth reached (\d+)")
    states, seconds = figure(said, r"(\d+) states, stored"), time.monotonic() - begin
    found = f"{options.expect} as expected after {steps} steps" if options.expect else f"holds, longest path {steps} steps"
    print(f"{name}: {fault or found}, {states} states, {seconds:.1f} s")
    return 1 if fault else 0


if __name__ == "__main__":
    sys.exit(main())
