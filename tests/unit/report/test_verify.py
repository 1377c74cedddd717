"""`slim-bench verify` prints the state of each score and a summary. The exit code does not depend on the scores."""

import csv
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bench.cli import main
from bench.files import write_json
from bench.report.compare.reference import reference_path
from bench.report.read.row import COLUMNS, Row
from bench.report.read.scores import read_scores
from bench.report.verify import print_verification
from tests.helpers import ROOT
from tests.helpers.reference_cases import reference_to
from tests.helpers.report_fixture import collected, make_results

DEMO = Path("results/demo")


@pytest.fixture
def demo(project, monkeypatch):
    """Return the number of scores of a project with results, and a reference of the same values and tolerance 0.05."""
    monkeypatch.chdir(project)
    reference = reference_to(collected(make_results(project)), tolerance=0.05)
    write_json(reference_path("demo"), reference.model_dump(mode="json"))
    return len(reference.scores)


def change_scores(change: Callable[[Row], Row | None]) -> None:
    """Rewrite the table with changed rows, without those that become None."""
    rows = [change(row) for row in read_scores(DEMO / "scores.csv")]
    with (DEMO / "scores.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([COLUMNS, *(row.cells() for row in rows if row is not None)])


def verified(capsys) -> tuple[list[str], str]:
    """Return the lines of the scores and the summary."""
    print_verification(DEMO)
    lines = capsys.readouterr().out.splitlines()
    return [line for line in lines[1:-1] if not line.startswith(("ok ", "FAIL "))], lines[-1]


def test_equal_results_are_within_tolerance(demo, capsys):
    lines, summary = verified(capsys)
    assert all(line.endswith("  within") for line in lines) and len(lines) == demo
    assert f"demo: {demo} of {demo} scores within tolerance, 0 outside, 0 missing; " in summary
    assert summary.endswith(" of 52 criteria met")
    fd = next(line for line in lines if line.startswith("fastgan-sle/fluent-emoji-100/seed1") and "untrained" in line)
    assert fd.split()[1:] == ["fd_efflite0", "untrained", "391", "391", "±", "0.05", "within"]


def test_a_demo_trained_for_half_the_steps_is_outside_the_tolerance(demo, capsys):
    """Half the steps give a larger distance and a lower accuracy; counts and untrained networks keep their values."""
    worse = {"fd_efflite0": 1.05, "ssim_reconstruction": 0.9, "top1": 0.95}

    def moved(row: Row) -> Row:
        factor = worse.get(row.metric, 1.0) if row.weights == "last" else 1.0
        return row if row.value is None else replace(row, value=row.value * factor)

    change_scores(moved)
    lines, summary = verified(capsys)
    outside = [line for line in lines if line.endswith("  outside")]
    assert {line.split()[1] for line in outside} == worse.keys()
    assert all(line.split()[2] == "last" for line in outside)
    assert f"{demo - len(outside)} of {demo} scores within tolerance, {len(outside)} outside, 0 mis" in summary


def test_missing_scores_other_protocols_and_new_scores_are_counted(demo, capsys):
    def changed(row: Row) -> Row | None:
        if row.metric == "kid_efflite0":
            return replace(row, protocol="kid_efflite0/other")
        if row.metric == "macs":
            return replace(row, value=None, status="missing", reason="not\nevaluated")
        return None if row.metric == "ece" else replace(row, weights="best") if row.metric == "top5" else row

    change_scores(changed)
    lines, summary = verified(capsys)
    text = "\n".join(lines)
    assert "outside: protocols differ: kid_efflite0/other, reference kid_efflite0/made-up" in text
    assert "missing: not\\nevaluated" in text and "missing: not in scores.csv" in text
    assert f"{text.count('  outside')} outside, {text.count('  missing')} missing" in summary


def test_further_scores_are_named_in_one_line(demo, capsys):
    path = reference_path("demo")
    reference = reference_to(read_scores(DEMO / "scores.csv"), 0.1)
    write_json(path, reference.model_copy(update={"scores": reference.scores[3:]}).model_dump(mode="json"))
    lines, _ = verified(capsys)
    assert "3 other scores are not in the reference" in lines


def test_criteria_are_printed_with_their_bounds(demo, capsys):
    print_verification(DEMO)
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("ok   singan-slim/") and line.endswith("0.210  >= 0.1") for line in lines)
    assert any(line.startswith("FAIL fastgan-sle/") and line.endswith("missing  < 3") for line in lines)


def test_the_criteria_are_printed_before_the_error_for_a_missing_reference(demo, capsys):
    reference_path("demo").unlink()
    assert main(["verify"]) == 2
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-1].startswith("demo: ") and "criteria met" in printed.out
    assert "scores within" not in printed.out
    assert printed.err == (
        "slim-bench: error: benchmarks/reference/demo.json: no such file; "
        "`python -m benchmarks reference demo` records it\n"
    )


def test_the_error_without_results_names_the_next_command(project, monkeypatch, capsys):
    monkeypatch.chdir(project)
    assert main(["verify"]) == 2
    assert capsys.readouterr().err.endswith("results at scale demo yet; run `snakemake demo` first\n")
    DEMO.mkdir(parents=True)
    assert main(["verify"]) == 2
    assert "results/demo/scores.csv: no such file; create it with `slim-bench collect`" in capsys.readouterr().err


def test_neither_torch_nor_pandas_is_imported(demo):
    code = (
        "import sys; from bench.cli import main; assert main(['verify']) == 0; "
        "assert not sys.modules.keys() & {'torch', 'pandas', 'scipy', 'matplotlib'}"
    )
    done = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
