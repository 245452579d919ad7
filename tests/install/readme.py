#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The code blocks of the documents, so that they cannot drift from what is built and tested.

  readme.py check ROOT            every ```c block is, word for word, in a file of workers/examples or workers/plugins, or
                                  in a listing of the tutorial (tutorial.py compiles and runs those)
  readme.py block ROOT NAME.c     print the block that is in workers/examples/NAME.c
  readme.py command ROOT WORD     print the first line of a ```sh block that starts with WORD"""
import re
import sys
from pathlib import Path


DOCUMENTS = ("README.md", "docs/plugin-guide.md")


def blocks(root, document, language):
    text = (root / document).read_text(encoding="utf-8")
    return re.findall(r"^```" + language + r"\n(.*?)^```$", text, re.M | re.S)


def home_of(root, block):
    for folder in ("examples", "plugins"):
        for path in sorted((root / "workers" / folder).glob("*.c")):
            if block in path.read_text(encoding="utf-8"):
                return path.name
    return None


def check(root):
    found = [(document, block) for document in DOCUMENTS for block in blocks(root, document, "c")]
    listings = blocks(root, "docs/tutorial.md", "c")
    in_tutorial = {block for _, block in found if any(block in listing for listing in listings)}
    lost = [(document, block) for document, block in found if block not in in_tutorial and home_of(root, block) is None]
    for document, block in lost:
        print(f"{document}: this block is in no file of workers/examples or workers/plugins, and in no listing of docs/tutorial.md:\n{block}", file=sys.stderr)
    print(f"{len(found)} blocks, {len(lost)} of them in no file")
    return 1 if lost or not found else 0


def main():
    if len(sys.argv) < 3 or sys.argv[1] not in ("check", "block", "command"):
        print(__doc__, file=sys.stderr)
        return 64
    what, root = sys.argv[1], Path(sys.argv[2])
    if what == "check":
        return check(root)
    wanted = sys.argv[3]
    if what == "block":
        candidates = [block for block in blocks(root, "README.md", "c") if home_of(root, block) == wanted]
    else:
        lines = [line for block in blocks(root, "README.md", "sh") for line in block.splitlines()]
        candidates = [line + "\n" for line in lines if line.startswith(wanted)]
    if not candidates:
        print(f"README.md has no {what} for {wanted}", file=sys.stderr)
        return 1
    sys.stdout.write(candidates[0])
    return 0


if __name__ == "__main__":
    sys.exit(main())
