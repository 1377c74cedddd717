"""Costs count failed, superseded and repeated runs, and name the runs whose cost is not known."""

import json
import shutil

import pytest

from bench.claims import load_settings
from bench.report.read.costs import read_costs
from bench.report.tables.cost import compute_records, compute_table, cost_records, cost_table
from bench.report.tables.table import latex
from tests.helpers.report_fixture import (
    EMOJI,
    collected,
    freeze,
    run_description,
    write_json,
    write_run,
    write_score,
    write_text,
)

SLIM, SLE = "fastgan-slim-4to64", "fastgan-sle"


@pytest.fixture(scope="module")
def settings():
    return load_settings()


def trained(scale_dir, experiment, seed, reason=None, **training):
    folder = write_run(scale_dir, run_description("demo", "fewshot", experiment, EMOJI, seed, ["fd_efflite0"]), reason)
    model = json.loads((folder / "model.json").read_text())
    write_json(folder / "model.json", model | {"training": model["training"] | training})
    return folder


def supersede(scale_dir, folder, number, **training):
    copy = scale_dir / "superseded" / folder.relative_to(scale_dir / "runs").with_name(f"{folder.name}-{number}")
    shutil.copytree(folder, copy)
    model = json.loads((copy / "model.json").read_text())
    changed = {"model_sha256": f"{number}" * 64, "training": model["training"] | training}
    write_json(copy / "model.json", model | changed)
    return copy


def totals(scale_dir, settings):
    records = cost_records(read_costs(scale_dir, collected(scale_dir)), settings, "demo")
    return {record["device"]: record for record in records if record["kind"] == "total"}, records


def test_failed_superseded_and_repeated_runs_are_counted(tmp_path, settings):
    scale_dir = tmp_path / "results" / "demo"
    folder = trained(scale_dir, SLIM, 0, seconds=3600.0, device="gpu", energy_joules=7200.0)
    supersede(scale_dir, folder, 1, seconds=1800.0)
    supersede(scale_dir, folder, 2, seconds=900.0)
    trained(scale_dir, SLE, 0, "not finite", seconds=450.0, device="gpu")
    trained(scale_dir, SLE, 1, seconds=7200.0, device="cpu")
    found, records = totals(scale_dir, settings)
    gpu = found["gpu"]
    assert (gpu["runs"], gpu["failed"], gpu["superseded"], gpu["repeated"]) == (4, 1, 2, 1)
    assert gpu["training_hours"] == pytest.approx(1 + 0.5 + 0.25 + 0.125)
    assert (gpu["energy_joules"], gpu["energy_runs"]) == (3 * 7200.0, 3)
    assert found["cpu"]["training_hours"] == pytest.approx(2.0)  # devices are not added
    kinds = {(record["kind"], record["part"], record["device"]) for record in records}
    assert ("task", settings.tasks["fewshot"].title, "gpu") in kinds
    assert any(kind == "claim" for kind, _, _ in kinds)


def test_a_copy_of_the_current_run_counts_once(tmp_path, settings):
    scale_dir = tmp_path / "results" / "demo"
    folder = trained(scale_dir, SLIM, 0)
    shutil.copytree(folder, scale_dir / "superseded" / SLIM / EMOJI / "seed0-1")
    assert totals(scale_dir, settings)[0]["cpu"]["runs"] == 1


def test_scores_that_share_a_clock_count_once(tmp_path, settings):
    scale_dir = tmp_path / "results" / "demo"
    folder = trained(scale_dir, SLIM, 0)
    for metric, weights, seconds in (
        ("fd_efflite0", "last", 10.0),
        ("kid_efflite0", "last", 12.0),
        ("fd_efflite0", "untrained", 5.0),
        ("macs", "last", 1.0),
    ):
        write_score(folder, metric, 1.0, weights, seconds=seconds)
    write_score(folder, "params", 1.0)  # takes no time
    old = supersede(scale_dir, folder, 1)
    assert old.is_dir()
    assert totals(scale_dir, settings)[0]["cpu"]["scoring_hours"] == pytest.approx(2 * 18 / 3600)
    name = folder.relative_to(scale_dir)
    write_text(tmp_path / "logs" / "demo" / name / "evaluate.tsv", "s\th:m:s\n82.0\t0:01:22\n")
    assert totals(scale_dir, settings)[0]["cpu"]["scoring_hours"] == pytest.approx((82 + 18) / 3600)


def test_unknown_costs_are_named_and_not_estimated(tmp_path, settings):
    scale_dir = tmp_path / "results" / "demo"
    trained(scale_dir, SLIM, 0, seconds=3600.0)
    begun = freeze(scale_dir, run_description("demo", "fewshot", SLE, EMOJI, 1, ["fd_efflite0"]))
    write_text(begun / "history.csv", "step,seconds,loss\n10,99,1\n")
    freeze(scale_dir, run_description("demo", "fewshot", SLE, EMOJI, 2, ["fd_efflite0"]))  # has not begun
    write_text(scale_dir / "superseded" / SLE / EMOJI / "seed0-1" / "model.json", "{")
    found, records = totals(scale_dir, settings)
    assert found["cpu"]["training_hours"] == pytest.approx(1.0)
    names = [f"{SLE}/{EMOJI}/seed1", f"superseded/{SLE}/{EMOJI}/seed0-1"]
    assert found["unknown"]["unknown"].split("; ") == names and found["unknown"]["training_hours"] == 0
    assert all(name in cost_table(records).note for name in names)


def test_the_compute_form_has_the_fields_that_conferences_request(tmp_path, settings):
    scale_dir = tmp_path / "results" / "demo"
    folder = trained(scale_dir, SLIM, 0, seconds=3600.0, device="NVIDIA H100")
    supersede(scale_dir, folder, 1, seconds=1800.0)
    trained(scale_dir, SLE, 0, "not finite", seconds=360.0, device="NVIDIA H100")
    records = compute_records(read_costs(scale_dir, collected(scale_dir)), settings)
    hours = {record["part"]: record["training_hours"] for record in records}
    assert hours["total"] == pytest.approx(1.6) and hours["of these: failed runs"] == pytest.approx(0.1)
    assert hours["of these: preliminary (superseded) runs"] == pytest.approx(0.5)
    assert all(record["storage_bytes"] > 0 and record["peak_memory_bytes"] for record in records)
    text = latex(compute_table(records), "tab:compute")
    for words in ("NVIDIA H100", "1.6 h", "storage", "peak memory", r"\label{tab:compute}", "preliminary"):
        assert words in text


def test_a_report_without_runs_has_empty_tables(settings):
    assert cost_table([]).rows == compute_table([]).rows == ()
