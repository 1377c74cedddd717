import csv
import json
import os
import shutil

import pytest

from bench.errors import InputError
from bench.ownership import is_score
from bench.report.read.collect import collect
from bench.report.read.row import COLUMNS, Row
from bench.report.read.run_rows import run_folders
from bench.report.read.scores import read_scores
from tests.helpers.report_fixture import (
    EMOJI,
    FD,
    collected,
    freeze,
    make_results,
    run_description,
    write_json,
    write_run,
    write_score,
)


def only_row(scores, **equal):
    rows = scores.where(**equal)
    assert len(rows) == 1, list(rows)
    return rows[0]


@pytest.fixture
def run(tmp_path):
    return tmp_path / "demo", run_description(
        "demo", "fewshot", "fastgan-sle", EMOJI, 0, ["fd_efflite0", "kid_efflite0"]
    )


def test_a_row_has_provenance(run):
    scale_dir, plan = run
    write_score(write_run(scale_dir, plan), "fd_efflite0", 300.25)
    row = only_row(collected(scale_dir), metric="fd_efflite0")
    assert (row.value, row.status, row.protocol, row.seed) == (300.25, "ok", FD, 0)
    assert row.run_dir == f"runs/fastgan-sle/{EMOJI}/seed0"
    assert len(row.model_sha256) == len(row.data_sha256) == len(row.run_sha256) == 64


def test_a_planned_run_that_has_not_started_is_missing(run):
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
    assert only_row(collected(scale_dir), metric="kid_efflite0").reason == "not evaluated yet"


def test_a_failed_run_fails_its_metrics_with_its_reason(run):
    scale_dir, plan = run
    write_run(scale_dir, plan, reason="not finite")
    assert {(row.status, row.reason) for row in collected(scale_dir)} == {("failed", "not finite")}


@pytest.mark.parametrize("weights", ["last", "best", "untrained", "control-white"])
def test_a_score_of_another_export_is_stale(run, weights):
    """After retraining from the same run.json there is no other way to detect it."""
    scale_dir, plan = run
    folder = write_run(scale_dir, plan)
    write_score(folder, "fd_efflite0", 300.0, weights, export_sha256="0" * 64)
    row = only_row(collected(scale_dir), metric="fd_efflite0", weights=weights)
    assert (row.status, row.value, row.reason) == ("missing", None, "outdated: score of other weights")
    write_score(folder, "fd_efflite0", 301.0, weights)
    assert only_row(collected(scale_dir), metric="fd_efflite0", weights=weights).status == "ok"


OLDER = {
    "metric": "params", "value": 14410.0, "unit": "", "direction": "lower", "protocol": "params/folded-export",
    "n": None, "standard_error": None, "interval": None, "selection": "last", "status": "ok", "reason": None,
    "seed": 0, "run": "r", "run_sha256": "", "data_sha256": "d", "model_sha256": "m", "export_sha256": None,
    "seconds": None, "device": "cpu", "peak_memory_bytes": 376135680, "precision": "float32", "compile": False,
    "training_precision": "float32", "training_compile": False, "training_rollbacks": 0, "training_events": [],
    "versions": {"python": "3.11.9", "torch": "2.9"}, "commit": "c", "dirty": False, "code_sha256": "e",
    "command": "slim-bench evaluate", "details": {},
}  # fmt: skip

UNREADABLE = {
    "truncated": ('{"scale": "de', "run.json: not JSON"),
    "empty": ("", "run.json: not JSON"),
    "a list": ("[]", "run.json: Input should be an object"),
    "without keys": ('{"scale": "demo"}', "run.json: task: Field required"),
    "of another run": (
        json.dumps(run_description("demo", "fewshot", "other", EMOJI, 0, [])),
        "run.json: describes other/",
    ),
    "other types": (
        json.dumps(run_description("demo", "fewshot", "fastgan-sle", EMOJI, 0, []) | {"evaluation": []}),
        "run.json: evaluation: Input should be an object",
    ),
    "missing": (None, "run.json: no such file"),
}


@pytest.mark.parametrize("kind", UNREADABLE)
@pytest.mark.parametrize("known_by", ["nothing", "a run of the same experiment", "its model.json"])
def test_a_run_whose_description_cannot_be_read_is_missing_with_its_reason(run, kind, known_by):
    scale_dir, plan = run
    folder = write_run(scale_dir, plan)
    write_score(folder, "fd_efflite0", 300.0)
    if known_by == "a run of the same experiment":
        freeze(scale_dir, plan | {"seed": 1})
    elif known_by == "its model.json":
        write_json(folder / "model.json", json.loads((folder / "model.json").read_text()) | {"description": plan})
    text, reason = UNREADABLE[kind]
    (folder / "run.json").unlink()
    if text is not None:
        (folder / "run.json").write_text(text)
    rows = [row for row in collected(scale_dir) if row.seed == 0]
    assert {(row.status, row.value) for row in rows} == {("missing", None)}
    assert all(row.reason.startswith(reason) for row in rows), rows
    assert {row.metric for row in rows} >= {"train_seconds", "fd_efflite0"}
    if known_by != "nothing":
        assert {row.metric for row in rows} == {"train_seconds", "fd_efflite0", "kid_efflite0"}
        assert {row.task for row in rows} == {"fewshot"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("", "model.json: not JSON"),
        ("[]", "model.json: Input should be an object"),
        ("{}", "model.json: status: Field required"),
        ({"status": "done"}, "model.json: status: Input should be"),
        ({"training": [1]}, "model.json: training: Input should be"),
        ({"training": {"seconds": "long"}}, "model.json: training.seconds: Input should be"),
        (None, "model.json: no such file"),
    ],
)
def test_scores_are_missing_if_model_json_is_invalid_or_missing(run, change, reason):
    scale_dir, plan = run
    folder = write_run(scale_dir, plan)
    write_score(folder, "fd_efflite0", 300.0)
    path = folder / "model.json"
    record = json.loads(path.read_text())
    path.unlink()
    if change is not None:
        path.write_text(change if isinstance(change, str) else json.dumps(record | change))
    rows = list(collected(scale_dir))
    assert {row.metric for row in rows} == {"train_seconds", "fd_efflite0", "kid_efflite0"}
    assert {(row.status, row.value) for row in rows} == {("missing", None)}
    assert all(row.reason.startswith(reason) for row in rows)


def test_a_folder_with_any_file_of_a_run_is_listed(run):
    scale_dir, plan = run
    freeze(scale_dir, plan)
    for seed, name in enumerate(("model.json", ".model.json", "history.csv", "scores/fd_efflite0.json"), 1):
        path = scale_dir / f"runs/fastgan-sle/{EMOJI}/seed{seed}" / name
        path.parent.mkdir(parents=True)
        path.write_text("{}")
    (scale_dir / f"runs/fastgan-sle/{EMOJI}/seed9").mkdir()
    assert [row.seed for row in collected(scale_dir).runs] == [0, 1, 2, 3, 4]
    assert [folder.seed for folder in run_folders(scale_dir)] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("recorded", [True, False])
def test_compute_edited_after_training_is_not_stale(run, recorded):
    """`.frozen.json` contains the original `compute`. Without it, only the hash of run.json is used."""
    scale_dir, plan = run
    folder = write_run(scale_dir, plan | {"compute": {"threads": 2}})
    write_score(folder, "fd_efflite0", 300.0)
    if recorded:
        write_json(folder / ".frozen.json", {"compute": {"threads": 2}})
    write_json(folder / "run.json", plan | {"compute": {"threads": 3}})
    statuses = {row.status for row in collected(scale_dir) if row.metric != "kid_efflite0"}
    assert statuses == ({"ok"} if recorded else {"missing"})


def test_an_export_of_another_description_is_stale(run):
    scale_dir, plan = run
    folder = write_run(scale_dir, plan)
    (folder / "run.json").write_text(json.dumps(plan | {"seed": 0, "data": {"path": "elsewhere"}}))
    assert only_row(collected(scale_dir), metric="train_seconds").reason.startswith("outdated")


DAMAGED = {
    "of another run": (
        json.dumps(OLDER | {"metric": "fd_efflite0", "run_sha256": "x", "run": "a/b/seed3"}),
        "a/b/seed3",
    ),
    "under another name": (json.dumps(OLDER), "contains the score params"),
    "without value or reason": (json.dumps(OLDER | {"metric": "fd_efflite0", "value": None}), "neither a value nor"),
    "other types": (json.dumps(dict.fromkeys(OLDER, 7)), "Input should be"),
    "nested": ("[" * 100_000, "nested too deeply"),
    "not UTF-8": (b"\xff\xfe{", "not UTF-8"),
    "truncated": ('{"metric": "fd_effl', "not JSON"),
    "empty": ("", "not JSON"),
    "not a score": ("{}", "Field required"),
    "a list": ("[]", "object"),
    "of a later version": ('{"metric": "fd_efflite0", "valeu": 1.0}', "valeu: Extra inputs are not permitted"),
    "not finite": ('{"metric": "fd_efflite0", "value": NaN}', "value: nan is not a finite number"),
}


@pytest.mark.parametrize("weights", ["last", "control-white"])
@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_score_is_missing_with_its_reason(run, damage, weights):
    scale_dir, plan = run
    folder = write_run(scale_dir, plan)
    write_score(folder, "fd_efflite0", 300.0, weights)
    (path,) = (folder / "scores").glob("*.json")
    text, reason = DAMAGED[damage]
    named = text.replace('"selection": "last"', f'"selection": "{weights}"') if isinstance(text, str) else text
    path.write_bytes(named if isinstance(named, bytes) else named.encode())
    row = only_row(collected(scale_dir), metric="fd_efflite0", weights=weights)
    assert (row.status, row.value) == ("missing", None)
    assert row.reason.startswith(f"not a score: scores/{path.name}: ") and reason in row.reason
    assert str(scale_dir) not in row.reason


@pytest.mark.parametrize("kind", ["folder", "pipe", "loop", "no such file"])
def test_a_folder_or_pipe_in_place_of_a_score_is_missing_with_the_reason(run, kind):
    scale_dir, plan = run
    folder = write_run(scale_dir, plan)
    write_score(folder, "fd_efflite0", 300.0, "control-white")
    write_score(folder, "kid_efflite0", 0.1)
    write_json(folder / "scores/.complete", complete(folder))
    for name in ("fd_efflite0@control-white", "kid_efflite0"):
        path = folder / f"scores/{name}.json"
        path.unlink()
        if kind == "folder":
            path.mkdir()
        elif kind == "pipe":
            os.mkfifo(path)
        elif kind == "loop":
            path.symlink_to(path.name)
    scores = collected(scale_dir)
    for name, weights in (("fd_efflite0", "control-white"), ("kid_efflite0", "last")):
        row = only_row(scores, metric=name, weights=weights)
        suffix = "" if weights == "last" else f"@{weights}"
        assert (row.status, row.value) == ("missing", None)
        assert row.reason.startswith(f"not a score: scores/{name}{suffix}.json: ")


def complete(folder):
    files = {path.name: "0" * 64 for path in (folder / "scores").glob("*.json")}
    return {"scored_sha256": "a", "code_sha256": "b", "files": files}


def test_a_lost_score_is_missing_even_if_its_controls_exist(run):
    scale_dir, plan = run
    folder = write_run(scale_dir, plan)
    write_score(folder, "fd_efflite0", 281.0, "control-white")
    assert only_row(collected(scale_dir), metric="fd_efflite0", weights="last").reason == "not evaluated yet"


def test_a_score_file_of_an_unknown_metric_is_reported_and_ignored(run, capsys):
    scale_dir, plan = run
    write_score(write_run(scale_dir, plan), "fd_efflite0", 300.0)
    before = list(collected(scale_dir))
    (scale_dir / "runs/fastgan-sle" / EMOJI / "seed0/scores/notes.json").write_text("{}")
    capsys.readouterr()
    assert list(collected(scale_dir)) == before
    assert "scores/notes.json" in capsys.readouterr().err


def test_a_score_of_version_0_1_is_read(run):
    scale_dir, plan = run
    write_json(write_run(scale_dir, plan) / "scores/params.json", OLDER)
    row = only_row(collected(scale_dir), metric="params")
    assert (row.status, row.value, row.python, row.compile, row.n) == ("ok", 14410.0, "3.11.9", False, None)
    assert row.peak_memory_bytes == 376135680


def test_a_score_of_an_earlier_version_names_its_weights_under_the_old_key(run):
    scale_dir, plan = run
    path = write_run(scale_dir, plan) / "scores/params@best.json"
    write_json(path, OLDER | {"selection": "best"})
    assert only_row(collected(scale_dir), metric="params", weights="best").value == 14410.0
    assert is_score(path)


def test_a_copy_of_a_run_folder_is_not_counted(run, capsys):
    scale_dir, plan = run
    folder = write_run(scale_dir, plan)
    write_score(folder, "fd_efflite0", 300.0)
    before = list(collected(scale_dir))
    shutil.copytree(folder, folder.with_name("seed0.bak"))
    assert list(collected(scale_dir)) == before
    assert "seed0.bak/run.json: the folder name is not of the form seedN" in capsys.readouterr().err


def test_mixed_code_is_marked(run):
    scale_dir, plan = run
    write_run(scale_dir, plan)
    write_run(scale_dir, plan | {"seed": 1}, code="f")
    assert {row.mixed_code for row in collected(scale_dir).runs} == {True}


def test_mixed_code_is_refused_at_paper_scale_unless_allowed(tmp_path):
    scale_dir = tmp_path / "paper"
    plan = run_description("paper", "fewshot", "fastgan-sle", EMOJI, 0, [])
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


def test_a_missing_or_old_table_is_named(tmp_path):
    with pytest.raises(InputError, match=r"scores\.csv: no such file"):
        read_scores(tmp_path / "scores.csv")
    (tmp_path / "scores.csv").write_text("scale,task\ndemo,fewshot\n")
    with pytest.raises(InputError, match="no column 'experiment'"):
        read_scores(tmp_path / "scores.csv")
    (tmp_path / "scores.csv").write_text(",".join(COLUMNS).replace("weights", "selection") + "\n")
    with pytest.raises(InputError, match=r"no column 'weights' \(earlier version\); recreate it with"):
        read_scores(tmp_path / "scores.csv")


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.999])
def test_a_truncated_table_gives_a_one_line_error_and_collect_rewrites_it(tmp_path, share):
    scale_dir = make_results(tmp_path, seeds=1)
    path = scale_dir / "scores.csv"
    collect(scale_dir)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InputError, match="slim-bench collect") as error:
        read_scores(path)
    assert "\n" not in str(error.value)
    collect(scale_dir)
    assert path.read_bytes() == whole


def test_another_value_in_a_table_is_named_by_its_line(tmp_path):
    scale_dir = make_results(tmp_path, seeds=1)
    collect(scale_dir)
    path = scale_dir / "scores.csv"
    path.write_text(path.read_text().replace(",0,", ",zero,", 1))
    with pytest.raises(InputError, match=r"scores\.csv, line 2: .*zero"):
        read_scores(path)


def test_the_table_keeps_its_columns_and_types(run):
    """Tables of different versions are compared by these names."""
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
    assert only_row(scores, metric="fd_efflite0").command == 'é, "x"'
