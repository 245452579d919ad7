#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""planted.py ROOT BUILD [NAME]...: the checkers' own test (fault 28 of docs/faults.md).

Each tests/planted/NAME.patch plants one bug. The sources are copied to BUILD/source; every named test has to pass there
first. Then, one at a time, each bug is planted, everything its test needs is built, and the test has to fail. One line per
bug, and a table at the end. Exit code 1 if a bug was not caught.

planted.py ROOT --apply-only: do all patches still fit? (`meson test --suite tidy`)"""
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

FIELDS = re.compile(r"^# (What|Caught-by): (.+)$", re.M)
ATTEMPTS = 5  # a race may need more than one run to show
TEST_SECONDS = 120
ALWAYS = ["workers/rask", "tests/on_engine"]


class Bug:
    def __init__(self, path):
        fields = dict(FIELDS.findall(path.read_text(encoding="utf-8")))
        self.name, self.path, self.what = path.stem, path, fields["What"]
        self.program, self.test = fields["Caught-by"].split()


def bugs_of(root, names=()):
    found = [Bug(path) for path in sorted((root / "tests/planted").glob("*.patch"))]
    unknown = set(names) - {bug.name for bug in found}
    if unknown:
        sys.exit(f"no planted bug is called {', '.join(sorted(unknown))}: there are {', '.join(b.name for b in found)}")
    return [bug for bug in found if not names or bug.name in names]


def apply(folder, bug, *flags):
    # Lines around may have moved or changed a little: the lines that the bug replaces may not.
    command = ["patch", "-p1", "--quiet", "--forward", "--fuzz=2", "--no-backup-if-mismatch", "-r", "-", *flags]
    return subprocess.run([*command, "-i", str(bug.path)], cwd=folder, capture_output=True, text=True)


def check_that_all_apply(root):
    faults = 0
    for bug in bugs_of(root):
        done = apply(root, bug, "--dry-run")
        if done.returncode != 0:
            print(f"tests/planted/{bug.name}.patch does not fit any more: {done.stdout.strip()}", file=sys.stderr)
            faults += 1
    print(f"planted: {faults} faults in {len(bugs_of(root))} patches")
    return 1 if faults else 0


def run(command, **options):
    return subprocess.run(command, capture_output=True, text=True, **options)


def copy_sources(root, source):
    """Only what differs, with the time of now: ninja has to notice what an interrupted run left behind."""
    wanted = set()
    for path in root.rglob("*"):
        name = path.relative_to(root)
        if name.parts[0].startswith((".git", "build")) or "__pycache__" in name.parts or not path.is_file():
            continue
        wanted.add(name)
        copy = source / name
        if not copy.exists() or copy.read_bytes() != path.read_bytes():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    for path in [path for path in source.rglob("*") if path.is_file()]:
        if path.relative_to(source) not in wanted:
            path.unlink()


def configure(source, build):
    if not (build / "build.ninja").exists():
        done = run(["meson", "setup", str(build), str(source)])
        if done.returncode != 0:
            sys.exit(f"cannot configure {build}:\n{done.stdout}{done.stderr}")


def compile_(build, bug):
    targets = ALWAYS + [f"tests/{bug.program}"] + (["tests/steps/rask-steps"] if "steps" in bug.program else [])
    done = run(["ninja", "-C", str(build), *targets])
    if done.returncode != 0:
        sys.exit(f"{bug.name} does not compile:\n{done.stdout[-4000:]}")


def test_fails(source, build, bug):
    """Does the named test fail (or die) in a run of its program?"""
    rask = build / ("tests/steps/rask-steps" if "steps" in bug.program else "workers/rask")
    environment = {**os.environ, "RASK_BIN": str(rask), "RASK_TEST_PLUGINS": str(build / "tests/plugins"),
                   "RASK_TEST_SOURCE": str(source), "RASK_CRASH_DIR": str(build / "tests/crashes")}
    command = [str(build / "tests" / bug.program)]
    if "steps" in bug.program:
        command.append(str(source / "docs/kill-steps.md"))
    try:
        done = run(command, env=environment, timeout=TEST_SECONDS)
    except subprocess.TimeoutExpired:
        return True
    text = done.stdout + done.stderr
    if re.search(rf"^\[ *(FAILED|ERROR) *\] {bug.test}$", text, re.M):
        return True
    started = re.findall(r"^\[ *RUN *\] (\S+)$", text, re.M)
    return done.returncode != 0 and started[-1:] == [bug.test] and "test(s) run" not in text


def caught(source, build, bug):
    """In which run the bug was caught; 0: never."""
    if apply(source, bug).returncode != 0:
        sys.exit(f"{bug.name} does not fit")
    try:
        compile_(build, bug)
        return next((i for i in range(1, ATTEMPTS + 1) if test_fails(source, build, bug)), 0)
    finally:
        apply(source, bug, "--reverse", "--force")


def main(root, build, names):
    source, build = build / "source", build / "build"
    bugs = bugs_of(root, names)
    copy_sources(root, source)
    configure(source, build)
    if run(["ninja", "-C", str(build)]).returncode != 0:
        sys.exit("the tree does not build without a bug")
    for bug in bugs:
        if test_fails(source, build, bug) and test_fails(source, build, bug):
            sys.exit(f"{bug.test} fails without the bug {bug.name}")
    rows, missed = [], 0
    for bug in bugs:
        start = time.monotonic()
        found = caught(source, build, bug)
        missed += found == 0
        says = f"caught, run {found}" if found else "NOT CAUGHT"
        rows.append(f"| {bug.name} | {bug.what} | {bug.test} | {says} |")
        print(f"{bug.name}: {says} ({time.monotonic() - start:.0f} s)", flush=True)
    print("\n| bug | what is wrong | test | |\n|---|---|---|---|\n" + "\n".join(rows))
    print(f"{len(bugs) - missed} of {len(bugs)} planted bugs caught")
    return 1 if missed else 0


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[2] == "--apply-only":
        sys.exit(check_that_all_apply(Path(sys.argv[1]).resolve()))
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve(), sys.argv[3:]))
