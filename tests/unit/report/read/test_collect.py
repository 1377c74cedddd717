import json
import shutil

import pytest

from bench.errors import InputError
from bench.report.read.collect import collect
from bench.report.read.scores import read_scores
from tests.helpers.report_fixture import EMOJI, FD, collected, described, freeze, make_results, write_run, write_score


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


@pytest.mark.parametrize("selection", ["last", "best", "untrained", "control-white"])
def test_a_score_of_another_export_is_stale(run, selection):
    """After training anew from the same run.json nothing else tells it."""
    scale_dir, plan = run
    folder = write_run(scale_dir, plan)
    write_score(folder, "fd_efflite0", 300.0, selection, export_sha256="0" * 64)
    row = one(collected(scale_dir), metric="fd_efflite0", selection=selection)
    assert (row.status, row.value, row.reason) == ("missing", None, "stale: score of another export")
    write_score(folder, "fd_efflite0", 301.0, selection)
    assert one(collected(scale_dir), metric="fd_efflite0", selection=selection).status == "ok"


def test_a_torn_description_is_said(run, capsys):
    scale_dir, plan = run
    (freeze(scale_dir, plan) / "run.json").write_text('{"scale": "de')
    assert list(collected(scale_dir)) == []
    assert "seed0/run.json: not JSON: not counted" in capsys.readouterr().err


def test_an_export_of_another_description_is_stale(run):
    scale_dir, plan = run
    folder = write_run(scale_dir, plan)
    (folder / "run.json").write_text(json.dumps(plan | {"seed": 0, "data": {"path": "elsewhere"}}))
    assert one(collected(scale_dir), metric="train_seconds").reason.startswith("stale")


def test_a_torn_score_file_counts_as_none(run):
    scale_dir, plan = run
    folder = write_run(scale_dir, plan)
    write_score(folder, "fd_efflite0", 300.0)
    (folder / "scores" / "fd_efflite0.json").write_text('{"metric": "fd_effl')
    assert one(collected(scale_dir), metric="fd_efflite0").status == "missing"


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


def test_a_score_without_a_metric_counts_as_none(run):
    scale_dir, plan = run
    write_score(write_run(scale_dir, plan), "fd_efflite0", 300.0)
    (scale_dir / "runs/fastgan-sle" / EMOJI / "seed0/scores/kid_efflite0.json").write_text("{}")
    assert one(collected(scale_dir), metric="kid_efflite0").status == "missing"


def test_a_score_that_is_not_finite_has_failed(run):
    scale_dir, plan = run
    write_score(write_run(scale_dir, plan), "fd_efflite0", float("nan"))
    row = one(collected(scale_dir), metric="fd_efflite0")
    assert (row.status, row.value, row.reason) == ("failed", None, "the score is not a finite number")


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
