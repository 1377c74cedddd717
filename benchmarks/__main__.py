"""Runs the benchmarks of this folder, prints a table and writes benchmarks/results/<device>-<name>.json.

Each benchmark runs in a separate process, so that its heap and allocator settings do not affect other benchmarks.

The exit code is 1 if a target is missed, and 2 for an unknown name. `python -m benchmarks reference SCALE` records
reference results instead (benchmarks/reference_runs.py).
"""

import argparse
import json
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from bench.provenance import slug
from benchmarks.measure import measure
from benchmarks.reference_runs import main as record_reference

FOLDER = Path(__file__).parent


def main() -> int:
    if sys.argv[1:2] == ["reference"]:
        return record_reference(sys.argv[2:])
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Benchmarks of speed and memory.",
        epilog="`python -m benchmarks reference SCALE` records the reference results of a scale.",
    )
    parser.add_argument("names", nargs="*", help=f"benchmarks to run: {', '.join(available())} (default: all)")
    parser.add_argument("--quick", action="store_true", help="check that benchmarks run, without writing results")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - set(available()))
    if unknown:
        parser.error(f"unknown benchmark {', '.join(unknown)}; available: {', '.join(available())}")
    missed = 0
    for name in arguments.names or available():
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
            record = executor.submit(measure, name, arguments.quick).result()
        print_table(record)
        if not arguments.quick:
            write(FOLDER / "results" / f"{slug(record['device'])}-{name}.json", record)
        missed += sum(not row["met"] for row in record["targets"])
    return 1 if missed else 0


def available() -> list[str]:
    return sorted(path.stem.removeprefix("bench_") for path in FOLDER.glob("bench_*.py"))


def print_table(record: dict[str, Any]) -> None:
    print(f"\n{record['benchmark']}  ({record['device']}, {record['threads']} threads, {record['seconds']} s)")
    width = max(len(row["name"]) for row in record["targets"])
    for row in record["targets"]:
        verdict = "" if row["target"] is None else "met" if row["met"] else "MISSED"
        print(f"  {row['name']:<{width}}  {row['value']:>9.3f}  {row['target'] or '':<9}  {verdict}", flush=True)
    for name, reason in record.get("not_measured", {}).items():
        print(f"  {name:<{width}}  not measured: {reason}", flush=True)


def write(path: Path, record: dict[str, Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"  {path.relative_to(FOLDER.parent)}")


if __name__ == "__main__":
    sys.exit(main())
