#!/usr/bin/env python3
"""Measures our programs and their peers side by side; README.md beside it tells what, how and how to read the tables."""
import argparse
import json
import os
import pathlib
import platform
import re
import signal
import sys

from contenders import ROOT, Bench, Failure, note
from rows import TABLES


def machine(bench):
    """Whose figures these are."""
    model = platform.processor() or platform.machine()
    try:
        model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text()).group(1)
    except (OSError, AttributeError):
        pass
    versions = ", ".join(f"{name} {version}" for name, version in bench.versions.items())
    return f"{model}, {bench.options.threads} threads of {os.cpu_count()}; {bench.options.rounds} rounds; {versions or 'no peers'}"


def options():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--rows", metavar="PATTERN", default="", help="rows whose title has this regular expression")
    p.add_argument("--list", action="store_true", help="print the titles of all rows")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=float, default=2.0, help="of a contender's turn")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--json", metavar="FILE", help="write every figure of every round")
    p.add_argument("--python", default=os.environ.get("PYTHON", "python3"), help="with the peers (default $PYTHON or python3)")
    p.add_argument("--autotune", action="store_true", help="torch.compile's max-autotune as well: minutes a row")
    p.add_argument("--pictures", metavar="FOLDER", help="photos to compare logits on (default: made-up pictures)")
    p.add_argument("--build", metavar="FOLDER", default=ROOT / "build", help="where vmoec is (default: build/)")
    p.add_argument("--work", metavar="FOLDER", help="for programs, weights, compiled peers (default: bench/ in --build)")
    return p.parse_args()


def print_cells(cells):
    print("| " + " | ".join(cells) + " |", flush=True)


def main():
    o = options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))     # workers end with us, also the ones that stand still
    tables = [([row for row in rows if re.search(o.rows, row[0], re.IGNORECASE)], measure, names)
              for rows, measure, names in TABLES]
    if o.list:
        print("\n".join(row[0] for rows, *_ in tables for row in rows))
        return 0
    bench = Bench(o)
    failed = False
    print(machine(bench), flush=True)
    for rows, measure, names in tables:
        if rows:
            print()
            print_cells(names)
            print_cells(["---"] + ["---:"] * (len(names) - 1))
        for row in rows:
            note(row[0])
            try:
                print_cells(measure(bench, row))
            except Failure as e:
                failed = True
                print_cells([row[0], f"failed: {e}"] + [""] * (len(names) - 2))
    if o.json:
        pathlib.Path(o.json).write_text(json.dumps({"machine": machine(bench), "rows": bench.raw}, indent=1) + "\n")
    return failed


if __name__ == "__main__":
    sys.exit(main())
