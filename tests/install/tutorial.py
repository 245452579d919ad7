#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tutorial.py ROOT BUILD PREFIX LIBDIR COMPILER...: does what docs/tutorial.md tells its reader to do, in its order.

Installs into a scratch folder, writes the ```c listings there under the names in their first lines, runs the commands of
the ```console blocks, and compares what they print on standard output with what the page shows. Every listing must be
named in a command, and what is compiled must give no warning."""
import difflib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PAGE = "docs/tutorial.md"
BLOCK = re.compile(r"^```(c|console)\n(.*?)^```$", re.M | re.S)
NAME = re.compile(r"/\* ([a-z_]+\.[ch]): ")
SECONDS_MAX = 30


def fail(text):
    sys.exit(f"{PAGE}: {text}")


def name_of(listing):
    match = NAME.match(listing)
    if not match:
        fail(f"a listing does not begin with /* NAME: ...\n{listing}")
    return match[1]


def steps_of(block):
    """Pairs of a command and what it prints."""
    if not block.startswith("$ "):
        fail(f"a console block does not begin with a command\n{block}")
    for step in block.removeprefix("$ ").split("\n$ "):
        command, _, output = step.partition("\n")
        yield command, output if output.endswith("\n") or not output else output + "\n"


def install(build, prefix, libdir, compiler, scratch):
    """Returns the environment of somebody who has rask installed, and whose cc is the compiler of the build."""
    subprocess.run(["meson", "install", "-C", build, "--no-rebuild", "--quiet", "--destdir", scratch / "dest"], check=True)
    dest, tools = scratch / "dest" / prefix.lstrip("/"), scratch / "tools"
    tools.mkdir()
    cc = tools / "cc"
    compiler = [shutil.which(compiler[0]) or compiler[0], *compiler[1:]]  # it may be called cc itself
    cc.write_text(f'#!/bin/sh\nexec {shlex.join(compiler)} -Wall -Wextra -Werror "$@"\n', encoding="utf-8")
    cc.chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{tools}:{dest / 'bin'}:{os.environ['PATH']}",
        "PKG_CONFIG_PATH": str(dest / libdir / "pkgconfig"),
        "PKG_CONFIG_SYSROOT_DIR": str(scratch / "dest"),
        "LD_LIBRARY_PATH": str(dest / libdir),
        "RASK_BIN": str(dest / "bin/rask"),
        "RASK_CRASH_DIR": str(scratch / "crashes"),
    }


def run(command, expected, folder, environment):
    done = subprocess.run(["sh", "-euc", command], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=SECONDS_MAX, check=False)
    if done.returncode != 0:
        fail(f"`{command}` ends with exit code {done.returncode}\n{done.stdout}{done.stderr}")
    if done.stdout != expected:
        lines = difflib.unified_diff(expected.splitlines(True), done.stdout.splitlines(True), "on the page", "printed")
        fail(f"`{command}` prints something else\n{''.join(lines)}{done.stderr}")


def main():
    root, build, prefix, libdir, *compiler = sys.argv[1:]
    blocks = BLOCK.findall((Path(root) / PAGE).read_text(encoding="utf-8"))
    listings = {name_of(text): text for kind, text in blocks if kind == "c"}
    steps = [step for kind, text in blocks if kind == "console" for step in steps_of(text)]
    named = " ".join([command for command, _ in steps] + re.findall(r'#include "(.*)"', "".join(listings.values())))
    unused = [name for name in listings if name not in named.split()]
    if unused or not listings or len(listings) != sum(kind == "c" for kind, _ in blocks):
        fail(f"listings that no command names, or two of one name, or none at all: {unused}")
    with tempfile.TemporaryDirectory(prefix="rask-tutorial.") as scratch:
        environment = install(build, prefix, libdir, compiler, Path(scratch))
        folder = Path(scratch) / "reader"
        folder.mkdir()
        for name, text in listings.items():
            (folder / name).write_text(text, encoding="utf-8")
        for command, expected in steps:
            run(command, expected, folder, environment)
    print(f"{len(listings)} listings, {len(steps)} commands, {sum(bool(expected) for _, expected in steps)} outputs")


if __name__ == "__main__":
    main()
