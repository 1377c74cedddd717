import csv
import json
import shutil

import pytest

from bench.errors import InputError
from bench.ownership import is_score
from bench.report.read.collect import collect
from bench.report.read.row import COLUMNS, Row
from bench.report.read.scores import read_scores
from tests.helpers.report_fixture import (
    EMOJI,
    FD,
    collected,
    described,
    freeze,
    make_results,
    write_json,
    write_run,
    write_score,
)


def one(scores, **equal):
    rows = scores.where(**equal)
    assert len(rows) == 1, list(rows)
    return rows[0]


@pytest.fixture
def run(tmp_path):
    return tmp_path / "demo", described("demo", "fewshot", "fastgan-sle", EMOJI, 0, ["fd_efflite0", "kid_efflite0"])


def test_a_row_carries_where_its_number_comes_from(run):
    scale_dir, plan = run
    write_score(write_run(scale_dir, plan), "fd_efflite0", 300.25)
    row = one(collected(scale_dir), metric="fd_efflite0")
    assert (row.value, row.status, row.protocol, row.seed) == (300.25, "ok", FD, 0)
    assert row.run_dir == f"runs/fastgan-sle/{EMOJI}/seed0"
    assert len(row.model_sha256) == len(row.data_sha256) == len(row.run_sha256) == 64


def test_a_planned_run_that_has_not_begun_is_missing(run):
    freeze(*run)
    scores = collected(run[0])
    assert {(row.metric, row.status, row.reason) for row in scores} == {
        ("train_seconds", "missing", "not started"),
        ("fd_efflite0", "missing", "not started"),
        ("kid_efflite0", "missing", "not started"),
    }


def test_a_planned_metric_without_a_score_is_missing(run):
    scale_dir, plan = run
    write_score(write_run(scale_dir, plan), "fd_efflite0", 300.0)
    assert one(collected(scale_dir), metric="kid_efflite0").reason == "not evaluated yet"


def test_a_failed_run_fails_its_metrics_with_its_reason(run):
    scale_dir, plan = run
    write_run(scale_dir, plan, reason="not finite")
    assert {(row.status, row.reason) for row in collected(scale_dir)} == {("failed", "not finite")}


@pytest.mark.parametrize("weights", ["last", "best", "untrained", "control-white"])
def test_a_score_of_another_export_is_stale(run, weights):
    """After training anew from the same run.json nothing else tells it."""
    scale_dir, plan = run
    folder = write_run(scale_dir, plan)
    write_score(folder, "fd_efflite0", 300.0, weights, export_sha256="0" * 64)
    row = one(collected(scale_dir), metric="fd_efflite0", weights=weights)
    assert (row.status, row.value, row.reason) == ("missing", None, "stale: score of another export")
    write_score(folder, "fd_efflite0", 301.0, weights)
    assert one(collected(scale_dir), metric="fd_efflite0", weights=weights).status == "ok"


def test_a_truncated_description_is_reported(run, capsys):
    scale_dir, plan = run
    (freeze(scale_dir, plan) / "run.json").write_text('{"scale": "de')
    assert list(collected(scale_dir)) == []
    said = capsys.readouterr().err
    assert "seed0/run.json: not JSON" in said and said.endswith(": not counted\n")


def test_an_export_of_another_description_is_stale(run):
    scale_dir, plan = run
    folder = write_run(scale_dir, plan)
    (folder / "run.json").write_text(json.dumps(plan | {"seed": 0, "data": {"path": "elsewhere"}}))
    assert one(collected(scale_dir), metric="train_seconds").reason.startswith("stale")


DAMAGED = {
    "cut off": ('{"metric": "fd_effl', "not JSON"),
    "empty": ("", "not JSON"),
    "not a score": ("{}", "Field required"),
    "a list": ("[]", "object"),
    "of a later version": ('{"metric": "fd_efflite0", "valeu": 1.0}', "valeu: Extra inputs are not permitted"),
    "not finite": ('{"metric": "fd_efflite0", "value": NaN}', "value: Input should be a finite number"),
}


@pytest.mark.parametrize("weights", ["last", "control-white"])
@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_score_is_missing_with_its_reason(run, damage, weights):
    scale_dir, plan = run
    folder = write_run(scale_dir, plan)
    write_score(folder, "fd_efflite0", 300.0, weights)
    (path,) = (folder / "scores").glob("*.json")
    text, reason = DAMAGED[damage]
    path.write_text(text)
    row = one(collected(scale_dir), metric="fd_efflite0", weights=weights)
    assert (row.status, row.value) == ("missing", None)
    assert row.reason.startswith("not a score: ") and reason in row.reason
    assert str(scale_dir) not in row.reason


def test_a_file_of_no_metric_is_reported_and_not_counted(run, capsys):
    scale_dir, plan = run
    write_score(write_run(scale_dir, plan), "fd_efflite0", 300.0)
    before = list(collected(scale_dir))
    (scale_dir / "runs/fastgan-sle" / EMOJI / "seed0/scores/notes.json").write_text("{}")
    capsys.readouterr()
    assert list(collected(scale_dir)) == before
    assert "scores/notes.json" in capsys.readouterr().err


OLDER = {
    "metric": "params", "value": 14410.0, "unit": "", "direction": "lower", "protocol": "params/folded-export",
    "n": None, "standard_error": None, "interval": None, "selection": "last", "status": "ok", "reason": None,
    "seed": 0, "run": "r", "run_sha256": "", "data_sha256": "d", "model_sha256": "m", "export_sha256": None,
    "seconds": None, "device": "cpu", "peak_memory_bytes": 376135680, "precision": "float32", "compile": False,
    "training_precision": "float32", "training_compile": False, "training_rollbacks": 0, "training_events": [],
    "versions": {"python": "3.11.9", "torch": "2.9"}, "commit": "c", "dirty": False, "code_sha256": "e",
    "command": "slim-bench evaluate", "details": {},
}  # fmt: skip


def test_a_score_of_version_0_1_is_read(run):
    scale_dir, plan = run
    write_json(write_run(scale_dir, plan) / "scores/params.json", OLDER)
    row = one(collected(scale_dir), metric="params")
    assert (row.status, row.value, row.python, row.compile, row.n) == ("ok", 14410.0, "3.11.9", False, None)
    assert row.peak_memory_bytes == 376135680


def test_a_score_of_an_earlier_version_names_its_weights_under_the_old_key(run):
    scale_dir, plan = run
    path = write_run(scale_dir, plan) / "scores/params@best.json"
    write_json(path, OLDER | {"selection": "best"})
    assert one(collected(scale_dir), metric="params", weights="best").value == 14410.0
    assert is_score(path)


def test_a_copy_of_a_run_folder_is_not_counted_again(run, capsys):
    scale_dir, plan = run
    folder = write_run(scale_dir, plan)
    write_score(folder, "fd_efflite0", 300.0)
    before = list(collected(scale_dir))
    shutil.copytree(folder, folder.with_name("seed0.bak"))
    (folder.parent / "seed9").mkdir()
    (folder.parent / "seed9/run.json").write_text('{"scale": "demo"}')
    assert list(collected(scale_dir)) == before
    said = capsys.readouterr().err
    assert "seed0.bak/run.json: describes another run" in said and "seed9/run.json" in said


def test_mixed_code_is_marked(run):
    scale_dir, plan = run
    write_run(scale_dir, plan)
    write_run(scale_dir, plan | {"seed": 1}, code="f")
    assert {row.mixed_code for row in collected(scale_dir).runs} == {True}


def test_mixed_code_is_refused_at_paper_scale_unless_allowed(tmp_path):
    scale_dir = tmp_path / "paper"
    plan = described("paper", "fewshot", "fastgan-sle", EMOJI, 0, [])
    write_run(scale_dir, plan)
    write_run(scale_dir, plan | {"seed": 1}, code="f")
    with pytest.raises(InputError, match=r"fastgan-sle \(train_seconds\)"):
        collect(scale_dir)
    collect(scale_dir, allow_mixed_code=True)
    assert (scale_dir / "scores.csv").exists()


def test_metrics_json_nests_means_by_protocol_and_leaves_out_times(tmp_path):
    scale_dir = make_results(tmp_path)
    collect(scale_dir)
    tree = json.loads((scale_dir / "metrics.json").read_text())
    assert tree["fewshot"][EMOJI]["fastgan-sle"][f"fd_efflite0 ({FD})"] == pytest.approx(301.65)
    assert "train_seconds" not in json.dumps(tree)
    assert "fastgan-sle-residual" not in tree["fewshot"][EMOJI]


def test_collecting_twice_gives_the_same_bytes(tmp_path):
    scale_dir = make_results(tmp_path)
    collect(scale_dir)
    first = [(scale_dir / name).read_bytes() for name in ("scores.csv", "metrics.json")]
    collect(scale_dir)
    assert first == [(scale_dir / name).read_bytes() for name in ("scores.csv", "metrics.json")]


def test_reading_an_absent_or_old_table_names_it(tmp_path):
    with pytest.raises(InputError, match=r"scores\.csv: no such file"):
        read_scores(tmp_path / "scores.csv")
    (tmp_path / "scores.csv").write_text("scale,task\ndemo,fewshot\n")
    with pytest.raises(InputError, match="no column 'experiment'"):
        read_scores(tmp_path / "scores.csv")
    (tmp_path / "scores.csv").write_text(",".join(COLUMNS).replace("weights", "selection") + "\n")
    with pytest.raises(InputError, match="no column 'weights'; `slim-bench collect` writes the present form"):
        read_scores(tmp_path / "scores.csv")


def test_the_table_keeps_its_columns_and_what_they_hold(run):
    """Earlier tables are compared with later ones by these names."""
    scale_dir, plan = run
    write_score(write_run(scale_dir, plan), "fd_efflite0", 300.1, n=500, interval=[1.5, 2.0], command='é, "x"')
    (scale_dir / "runs/fastgan-sle" / EMOJI / "seed0/scores/kid_efflite0.json").write_text("{")
    scores = collected(scale_dir)
    header, *lines = csv.reader((scale_dir / "scores.csv").read_text().splitlines())
    assert set(header) >= {
        *("scale", "task", "experiment", "dataset", "seed", "model", "metric", "weights", "value", "unit"),
        *("direction", "protocol", "n", "standard_error", "interval_low", "interval_high", "status", "reason", "run"),
        *("run_dir", "run_sha256", "data_sha256", "model_sha256", "seconds", "device", "peak_memory_bytes"),
        *("precision", "compile", "python", "torch", "cuda", "driver", "commit", "dirty", "code_sha256"),
        *("mixed_code", "command", "details"),
    }
    assert header[:5] == ["scale", "task", "experiment", "dataset", "seed"]
    assert [Row.parse(dict(zip(header, line, strict=True))) for line in lines] == list(scores)
    cells = dict(zip(header, lines[1], strict=True))
    assert (cells["value"], cells["n"], cells["interval_low"]) == ("300.1", "500", "1.5")
    assert (cells["standard_error"], cells["compile"], cells["mixed_code"], cells["details"]) == ("", "", "False", "{}")
    assert one(scores, metric="fd_efflite0").command == 'é, "x"'
