#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tidy.py CHECK ROOT: one check of the style over all sources below ROOT. Exit code 1 names every place.

  format  clang-format leaves every C file as it is
  sync    every id of the ordering table in lib/layout.h has a use site in the code on both sides, and the other way round
  size    no file over 400 lines (tests: 500), no function over 70, but for the exceptions listed here with a reason
  doors   futex, membarrier, io_uring, mmap and memory orders each stay in the one file that owns them
  public  every public function is documented; only rask_* and RASK_* in public headers
  claims  every row of docs/invariants.md names the tests that guard it, and they exist, like those that docs/faults.md names;
          links between documents work
  words   files start with a licence line; no unfinished marks; no paths of one machine; skips give a reason"""
import re
import shutil
import subprocess
import sys
from pathlib import Path

SOURCE_DIRS = ("include", "lib", "workers", "bench", "tests")
FILE_LINES_MAX = 400
TEST_FILE_LINES_MAX = 500  # a test program is a list: it is read in pieces
FUNCTION_LINES_MAX = 70
# path or path:function -> why it may be longer
LONG_FILES = {}
LONG_FUNCTIONS = {}


def sources(root, dirs=SOURCE_DIRS, suffixes=(".c", ".h")):
    for folder in dirs:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in suffixes:
                yield path


def text_of(path):
    return path.read_text(encoding="utf-8")


def blank_comments(text):
    """Comments and strings replaced by blanks; line numbers stay."""
    pattern = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"' + r"|'(?:\\.|[^'\\\n])*'", re.S)
    return pattern.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)


def check_format(root):
    tool = shutil.which("clang-format")
    if not tool:
        print("clang-format is not installed")
        sys.exit(77)
    paths = [str(path) for path in sources(root)]
    done = subprocess.run([tool, "--style=file", "--dry-run", "-Werror", *paths], capture_output=True, text=True)
    faults = re.findall(r"^(.+?):(\d+):\d+: error", done.stderr, re.M)
    for path in sorted({path for path, _ in faults}):
        first = next(line for name, line in faults if name == path)
        yield f"{path}:{first}: not formatted (run: clang-format -i {Path(path).relative_to(root)})"
    if done.returncode != 0 and not faults:
        yield f"clang-format failed: {done.stderr.strip()}"


def ordering_table(layout):
    return re.findall(r"^ \* \| (R\d+) *\|", layout, re.M)


# A use site reads `SYNC R1 release: pairs with rk_ring_take`: ids, how, a colon, whom it pairs with.
SYNC = re.compile(r"SYNC (R\d+(?:(?:, | and )R\d+)*) ([^:]*):")
WRITES = re.compile(r"release|store|fetch_add")
RIDES = re.compile(r"^with R\d+")
READS = re.compile(r"acquire|load|relaxed|heavy")


def check_sync(root):
    table = ordering_table(text_of(root / "lib/layout.h"))
    if not table:
        yield "lib/layout.h: no ordering table found"
    sites = {}
    for path in sources(root, ("lib", "workers", "bench")):
        if path.name == "layout.h":
            continue
        for number, line in enumerate(text_of(path).splitlines(), 1):
            for match in SYNC.finditer(line):
                where = f"{path.relative_to(root)}:{number}"
                for name in re.findall(r"R\d+", match.group(1)):
                    if name not in table:
                        yield f"{where}: SYNC {name} is not in the ordering table of lib/layout.h"
                    sites.setdefault(name, []).append((where, match.group(2)))
    for name in table:
        uses = sites.get(name, [])
        if any(RIDES.search(text) for _, text in uses):  # stored and loaded in one piece with another word
            if len({where.split(":")[0] for where, _ in uses}) < 2:
                yield f"{name}: no `SYNC {name} with...` line on one of its two sides"
            continue
        if not any(WRITES.search(text) for _, text in uses):
            yield f"{name}: no `SYNC {name} release|store|fetch_add...` line at a site that writes it"
        if not any(READS.search(text) for _, text in uses):
            yield f"{name}: no `SYNC {name} acquire|load...` line at a site that reads it"


FUNCTION = re.compile(r"^(?!typedef|struct|enum|union|static const|extern)[A-Za-z_][^;={}]*?\b([A-Za-z_]\w*)\s*\([^;{}]*\)\s*\n\{", re.M)


def functions(text):
    """(name, first line, lines) of each function; our format puts its braces in column one."""
    plain = blank_comments(text)
    for match in FUNCTION.finditer(plain):
        end = plain.find("\n}", match.end())
        if end >= 0:
            first = plain.count("\n", 0, match.end()) + 1
            yield match.group(1), first, plain.count("\n", match.end(), end + 1) + 1


def check_size(root):
    for path in sources(root):
        name, text = str(path.relative_to(root)), text_of(path)
        lines = text.count("\n")
        lines_max = TEST_FILE_LINES_MAX if name.startswith("tests/") else FILE_LINES_MAX
        if lines > lines_max and name not in LONG_FILES:
            yield f"{name}: {lines} lines, at most {lines_max}: split it, or list it in tests/tidy/tidy.py with a reason"
        for function, first, count in functions(text):
            if count > FUNCTION_LINES_MAX and f"{name}:{function}" not in LONG_FUNCTIONS:
                yield f"{name}:{first}: {function}() has {count} lines, at most {FUNCTION_LINES_MAX}"
    for listed in (*LONG_FILES, *LONG_FUNCTIONS):
        if not (root / listed.split(":")[0]).exists():
            yield f"tests/tidy/tidy.py lists {listed}, which does not exist"


# what -> (pattern, files of lib/, workers/ and bench/ that may)
DOORS = {
    "futex and membarrier": (r"SYS_futex|__NR_futex|SYS_membarrier|__NR_membarrier",
                             r"lib/bell\.c|bench/floor/floor_futex\.c"),  # the floor: futex(2) and nothing else
    "io_uring": (r"#include <liburing|\bio_uring_\w+\s*\(|IORING_", r"lib/reactor\w*\.[ch]|workers/examples/uring_loop\.c"),  # the example: a program's own ring
    "mmap": (r"\b(mmap|munmap|mremap|memfd_create)\s*\(|SYS_memfd_create", r"lib/segment\.c|bench/floor/\w+\.c|workers/generation\.c"),  # generation.c: a file, not an arena
    "memory orders": (r"__atomic_|__sync_|memory_order|stdatomic", r"lib/atomic\.h"),
    "libelf": (r"#include <(libelf|gelf)", r"workers/loader\w*\.c"),
    "libpng": (r"#include <png\.h|\bpng_\w+\s*\(", r"workers/cast/png_(read|write)\.c"),
    "jansson": (r"#include <jansson", r"(workers|bench)/.*\.[ch]"),
}


def check_doors(root):
    for what, (pattern, allowed) in DOORS.items():
        for path in sources(root, ("lib", "workers", "bench")):
            name = str(path.relative_to(root))
            if re.fullmatch(allowed, name) or name.startswith("workers/plugins/"):
                continue
            for number, line in enumerate(blank_comments(text_of(path)).splitlines(), 1):
                if re.search(pattern, line):
                    yield f"{name}:{number}: {what} belongs to {allowed}: {line.strip()}"


def check_public(root):
    declaration = re.compile(r"^(?:const )?(?:struct )?[a-z]\w*[ *]+(\w+)\([^;{]*\);", re.M)
    for path in sources(root, ("include",)):
        name, text = path.relative_to(root), text_of(path)
        documented = False
        lines = text.splitlines()
        for match in declaration.finditer(text):
            number = text.count("\n", 0, match.start())
            documented = lines[number - 1].endswith("*/") or (documented and lines[number - 1].endswith(";"))
            if not documented:
                yield f"{name}:{number + 1}: {match.group(1)}() has no comment"
            if not match.group(1).startswith("rask_"):
                yield f"{name}:{number + 1}: {match.group(1)}() is public but not rask_*"
        for macro in re.findall(r"^#define (\w+)", text, re.M):
            if not macro.startswith("RASK_"):
                yield f"{name}: macro {macro} is public but not RASK_*"


ROW = re.compile(r"^\| ([A-Z]\d+) \|(.*)\|$", re.M)
GUARD = re.compile(r"`?(?:tidy (?P<tidy>\w+)|(?P<path>tests/[\w/]+\.\w+)|(?P<test>test_\w+)|static_assert)`?")


def check_claims(root):
    """The last column names guards: `tidy CHECK`, a file below tests/, a test function, or static_assert."""
    tests = "\n".join(text_of(path) for path in sources(root, ("tests",)))
    numbers = set()
    for number, rest in ROW.findall(text_of(root / "docs/invariants.md")):
        guards = [guard.strip() for guard in rest.split("|")[-1].split(",") if guard.strip()]
        if number in numbers:
            yield f"docs/invariants.md: {number} stands there twice"
        numbers.add(number)
        if not guards:
            yield f"docs/invariants.md: {number} names no test that guards it"
        for guard in guards:
            match = GUARD.fullmatch(guard)
            if not match:
                yield f"docs/invariants.md: {number}: {guard} is not the name of a test"
            elif match["tidy"] and match["tidy"] not in CHECKS:
                yield f"docs/invariants.md: {number}: there is no check {guard}"
            elif match["path"] and not (root / match["path"]).exists():
                yield f"docs/invariants.md: {number}: {match['path']} does not exist"
            elif match["test"] and not re.search(rf"\b{match['test']}\b", tests):
                yield f"docs/invariants.md: {number}: there is no test {match['test']}"
    if not numbers:
        yield "docs/invariants.md: no invariant found"
    for name in sorted(set(re.findall(r"\btest_\w+\b(?!\.c)", text_of(root / "docs/faults.md")))):
        if not re.search(rf"\b{name}\b", tests):
            yield f"docs/faults.md: there is no test {name}"
    for document in [root / "README.md", *sorted((root / "docs").glob("*.md"))]:
        for link in re.findall(r"\]\(([^)#]+)", text_of(document)):
            if "://" not in link and not (document.parent / link).exists():
                yield f"{document.relative_to(root)}: the link {link} leads nowhere"


UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
MACHINE = re.compile(r"(?<![\w.>}])/(home|root|work|Users)/\w")
SKIPPED_DIRS = {".git", "subprojects", ".cache", "__pycache__"}


def all_text_files(root):
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        if parts[0] in SKIPPED_DIRS or parts[0].startswith("build") or "__pycache__" in parts or not path.is_file():
            continue
        yield path


def check_words(root):
    for path in all_text_files(root):
        name = path.relative_to(root)
        try:
            text = text_of(path)
        except UnicodeDecodeError:
            continue
        code = path.suffix in (".c", ".h", ".cc", ".sh", ".py", ".map") or path.name in ("meson.build", "dev")
        if code and path.suffix != ".map" and "SPDX-License-Identifier: MIT" not in "\n".join(text.splitlines()[:2]):
            yield f"{name}: no SPDX-License-Identifier: MIT in the first two lines"
        previous = ""
        for number, line in enumerate(text.splitlines(), 1):
            if UNFINISHED.search(line):
                yield f"{name}:{number}: unfinished mark: {line.strip()}"
            if MACHINE.search(line):
                yield f"{name}:{number}: a path of one machine: {line.strip()}"
            if path.suffix == ".c" and "skip();" in line and "print_message" not in previous + line:
                yield f"{name}:{number}: a skip without print_message(REASON) just before it"
            previous = line
            if code and line != line.rstrip():
                yield f"{name}:{number}: blanks at the end of the line"


CHECKS = {
    "format": check_format,
    "sync": check_sync,
    "size": check_size,
    "doors": check_doors,
    "public": check_public,
    "claims": check_claims,
    "words": check_words,
}


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in CHECKS:
        print(__doc__, file=sys.stderr)
        return 64
    root = Path(sys.argv[2]).resolve()
    faults = list(CHECKS[sys.argv[1]](root))
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{sys.argv[1]}: {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
