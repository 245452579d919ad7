#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""exports.py LIBRARY HEADER...: the library shows exactly the functions that the headers declare."""
import re
import subprocess
import sys
from pathlib import Path


def declared(header):
    text = re.sub(r"/\*.*?\*/", " ", Path(header).read_text(encoding="utf-8"), flags=re.S)
    text = re.sub(r"^#.*$", " ", text, flags=re.M)
    return set(re.findall(r"\b(rask_\w+)\s*\([^()]*\)\s*;", text))


def main():
    library, headers = sys.argv[1], sys.argv[2:]
    names = subprocess.run(["nm", "-D", "--defined-only", library], check=True, capture_output=True, text=True).stdout
    # Kind A is the name of the version itself.
    exported = {fields[2].split("@")[0] for fields in map(str.split, names.splitlines()) if fields[1] != "A"}
    wanted = set().union(*(declared(header) for header in headers))
    for name in sorted(exported - wanted):
        print(f"{library} shows {name}, which no public header declares", file=sys.stderr)
    for name in sorted(wanted - exported):
        print(f"{name} is declared, but {library} does not show it", file=sys.stderr)
    return 0 if wanted and exported == wanted else 1


if __name__ == "__main__":
    sys.exit(main())
