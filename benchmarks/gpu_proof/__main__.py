"""Runs the parts one after another in separate processes with a time limit, and writes the table of all targets."""

import argparse
import multiprocessing
import sys
from pathlib import Path
from typing import Any

from bench.files import write_json
from bench.provenance import slug
from bench.runtime.device import choose_device, device_name
from benchmarks.gpu_proof.part import PARTS, measure_part
from benchmarks.gpu_proof.record import read_result

ROOT = Path(__file__).resolve().parents[2]
MINUTES, GRACE_SECONDS = 7.0, 45.0
"""Minutes for the measurements of a part, and seconds after which a measurement that is still running is stopped."""


def main(given: list[str] | None = None) -> int:
    arguments = _parser().parse_args(given)
    unknown = [name for name in arguments.parts if name not in PARTS]
    if unknown:
        _parser().error(f"unknown part {', '.join(unknown)}; available: {', '.join(PARTS)}")
    if not 0 < arguments.minutes <= MINUTES:
        _parser().error(f"--minutes {arguments.minutes:g}: must be above 0 and at most {MINUTES:g}")
    device = device_name(choose_device("auto"))
    if device == "cpu" and not arguments.quick:
        print("gpu_proof: torch finds no GPU; --quick runs the same code at tiny sizes on the CPU", file=sys.stderr)
        return 2
    out = arguments.out or ROOT / ("build/gpu-proof-quick" if arguments.quick else "benchmarks/results")
    start = f"{slug(device)}-proof"
    finished = [_run(name, out / f"{start}-{name}.json", arguments) for name in arguments.parts or PARTS]
    summary = summarise({name: read_result(out / f"{start}-{name}.json") for name in PARTS})
    write_json(out / f"{start}.json", summary)
    print_summary(summary)
    return 0 if all(finished) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu_proof",
        description="Test the claims about GPUs, and write one result file per part.",
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="run the same code at tiny sizes, also on a CPU")
    parser.add_argument("--out", type=Path, help="folder for the result files (default: benchmarks/results)")
    parser.add_argument("--minutes", type=float, default=MINUTES, help=f"time limit of a part (default: {MINUTES:g})")
    return parser


def _run(name: str, path: Path, arguments: argparse.Namespace) -> bool:
    """Run one part in a new process, print its table, and return whether it is complete."""
    seconds = 60 * arguments.minutes
    process = multiprocessing.get_context("spawn").Process(
        target=measure_part, args=(name, path, arguments.quick, seconds)
    )
    process.start()
    process.join(seconds + GRACE_SECONDS)
    stopped = process.is_alive()
    if stopped:
        process.kill()
        process.join()
    found = read_result(path)
    print_part(name, found)
    if stopped:
        print(f"  stopped after {seconds + GRACE_SECONDS:.0f} s; start the part again to continue", flush=True)
    return not stopped and process.exitcode == 0 and bool(found.get("complete"))


def summarise(results: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the rows of all parts that have a target, and the parts and values that are not measured."""
    known = {name: result for name, result in results.items() if result}
    about = next(iter(known.values()), {})
    kept = {key: about[key] for key in ("device", "processor", "quick", "versions", "code_sha256") if key in about}
    rows = [{"part": name, **row} for name, result in known.items() for row in result["targets"] if row["target"]]
    missing = {name: "the part was not started" for name in results if name not in known}
    for name, result in known.items():
        missing |= {f"{name}: {row}": reason for row, reason in result["not_measured"].items()}
    return {"benchmark": "gpu_proof", **kept, "targets": rows, "not_measured": missing}


def print_part(name: str, result: dict[str, Any]) -> None:
    print(f"\n{name}  ({result.get('device', 'no result')})")
    rows, missing = result.get("targets", []), result.get("not_measured", {})
    width = max((len(text) for text in (*(row["name"] for row in rows), *missing)), default=0)
    for row in rows:
        verdict = "" if row["target"] is None else "met" if row["met"] else "MISSED"
        print(f"  {row['name']:<{width}}  {row['value']:>9.3f}  {row['target'] or '':<9}  {verdict}")
    for text, reason in missing.items():
        print(f"  {text:<{width}}  not measured: {reason}", flush=True)


def print_summary(summary: dict[str, Any]) -> None:
    met = sum(row["met"] for row in summary["targets"])
    missing = len(summary["not_measured"])
    print(f"\n{met} of {len(summary['targets'])} targets met, {missing} values not measured", flush=True)
    if summary.get("quick"):
        print("These are not results: --quick only checks that the code runs.", flush=True)


if __name__ == "__main__":
    sys.exit(main())
