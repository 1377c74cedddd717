"""Runs snakemake --lint, and ignores findings whose titles begin with an entry of ALLOWED.

Without this filter, `snakemake --lint` fails for every rule of a project that installs its software from a lock file
and not with conda.
"""

import subprocess
import sys
from pathlib import Path

ALLOWED = ("Specify a conda environment or container",)


def findings(text: str) -> list[str]:
    """Return `location: title` of every finding. In `text`, a title follows an asterisk, below its location."""
    location, found = "", []
    for line in text.splitlines():
        if line.startswith("Lints for"):
            location = line.removeprefix("Lints for ").rstrip(":")
        elif line.strip().startswith("* "):
            found.append(f"{location}: {line.strip()[2:]}")
    return found


def refused(found: list[str]) -> list[str]:
    return [finding for finding in found if not any(f": {title}" in finding for title in ALLOWED)]


def main() -> int:
    command = [sys.executable, "-m", "snakemake", "--lint"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    text = result.stdout + result.stderr
    found = findings(text)
    if result.returncode and not found:
        print(text, file=sys.stderr)
        return 1
    bad = refused(found)
    for finding in bad:
        print(finding, file=sys.stderr)
    print(f"snakemake --lint: {len(found) - len(bad)} findings allowed, {len(bad)} refused")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
