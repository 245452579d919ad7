# SPDX-License-Identifier: MIT
"""What the writers of docs/results.md share: *_results.py JSON [--commit ID] [--plot PATH] [--remark TEXT] [--into FILE]. Each makes one section
as Markdown from the JSON of a measurement: conditions first, then tables and pictures, then the verdicts, losses as plainly
as wins. A section stands between two marks, so that another run replaces it and nothing else:

  <!-- waiting: begin (written by bench/wake_results.py) -->
  <!-- waiting: end -->"""
import argparse
import contextlib
import io
import json
import re
from pathlib import Path


def time(ns):
    if ns is None or ns <= 0:
        return "-"
    for limit, unit, by in ((1e4, "ns", 1), (1e7, "us", 1e3), (1e18, "ms", 1e6)):
        if ns < limit:
            return f"{ns / by:.0f} {unit}" if by == 1 else f"{ns / by:.1f} {unit}"


def rate(per_s):
    return f"{per_s / 1e6:.2f} M" if per_s >= 1e5 else f"{per_s / 1e3:.1f} k"


def spread(of, form=lambda value: f"{value:.2f}"):
    return f"{form(of['p50'])} ({form(of['p10'])} .. {form(of['p90'])})"


def percent(part, digits=1):
    return "-" if part is None else f"{part * 100:.{digits}f} %"


def table(head, rows):
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    print()


def verdicts(part):
    rows = []
    for one in part["verdicts"]:
        value = "not measured" if one["value"] is None else f"{one['value']:.3g}"
        reached = {True: "reached", False: "**not reached**", None: ""}[one["reached"]]
        rows.append((one["what"], f"{'at most' if one['at_most'] else 'at least'} {one['target']:.3g}", value, reached))
    if rows:
        table(("target", "", "measured", ""), rows)


def machine(at, commit):
    """Two items of a list: the machine, the build."""
    print(f"- {at['cpu']}, {at['architecture']}, {at['cpus_online']} processors, {at['cpus_usable']} usable"
          f"{' (a virtual machine)' if at['virtual'] else ''}; {at['kernel']}; clock source {at['clock_source']}, "
          f"{at['clock_read_ns']:.0f} ns a read.")
    print(f"- {at['build']}{', commit ' + commit if commit else ''}{'; ' + at['date'] if 'date' in at else ''}; "
          f"load {at['load'] or 0:.2f} at the start.")


def siblings(at):
    return " (two threads of one core)" if at.get("smt_siblings") else ""


def noise(part):
    if part["noisy"]:
        print(f"**Noisy**: others used {part['busy_before']:.0%} of the processors just before, {part['stolen']:.1%} of the "
              f"time was stolen, load {part['load']:.1f}.\n")


def picture(path, text):
    if path:
        print(f"![{text}]({path})\n")


def parts(whole, writers, pictures=None):
    """A heading for each part, whether it was noisy, what its writer prints, its verdicts."""
    for name, part in whole["parts"].items():
        print(f"### {name.capitalize()}\n")
        noise(part)
        writers[name](part)
        if pictures and name in pictures:
            picture(*pictures[name])
        verdicts(part)


def replaced(document, name, text):
    """The document with this text between the marks of that name; at its end where there are none."""
    marked = re.compile(rf"^<!-- {name}: begin[^\n]*-->\n.*?^<!-- {name}: end -->\n", re.S | re.M)
    if not marked.search(document):
        return document.rstrip("\n") + "\n\n" + text
    return marked.sub(lambda _: text, document, count=1)


def write(script, doc, name, heading, section):
    """main() of a writer. section(whole, at) prints everything below the heading; `whole` is the JSON, or a list of its lines
    where the file has one object a line."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("json", type=Path)
    parser.add_argument("--commit", help="what was measured")
    parser.add_argument("--plot", help="path of the picture as the document should link it")
    parser.add_argument("--remark", help="what a reader must know first")
    parser.add_argument("--into", type=Path, help="the document to change; otherwise standard output")
    at = parser.parse_args()
    content = at.json.read_text()
    try:
        whole = json.loads(content)
    except json.JSONDecodeError:
        whole = [json.loads(line) for line in content.splitlines()]
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        print(f"<!-- {name}: begin (written by bench/{Path(script).name}) -->\n## {heading}\n")
        if at.remark:
            print(f"**{at.remark}**\n")
        section(whole, at)
    text = out.getvalue().rstrip("\n") + f"\n<!-- {name}: end -->\n"
    if at.into:
        at.into.write_text(replaced(at.into.read_text(), name, text))
    else:
        print(text, end="")
    return 0
