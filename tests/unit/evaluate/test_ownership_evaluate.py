"""evaluate, sample and freeze overwrite only files of the kind that they write."""

import json
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from bench.cli import main
from bench.files import write_json, write_png
from bench.run import read_run, write_run
from bench.score import read_score
from tests.helpers import metric_runs
from tests.helpers.data_project import image_folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Create a finished few-shot run with two cheap metrics."""
    root = tmp_path_factory.mktemp("trained")
    run, folder = metric_runs.fewshot(root, ("params", "macs"))
    write_run(folder / "run.json", run)
    return folder


@pytest.fixture
def run_dir(trained, tmp_path, monkeypatch):
    shutil.copytree(trained, tmp_path / "my")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "my"


def evaluate(*options):
    return main(["evaluate", "--run", "my/run.json", *options])


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def error(capsys):
    return capsys.readouterr().err.strip().splitlines()[-1].removeprefix("slim-bench: error: ")


@pytest.fixture
def no_compute(monkeypatch):
    monkeypatch.setattr("bench.evaluate.run.TASKS", {})


def test_scores_next_to_the_run_change_no_existing_file(run_dir):
    for name in ("package.json", "notes.txt", "fd_efflite0@mine.json", "old.json"):
        (run_dir / name).write_text('{"metric": "old"}')
    before = content(run_dir)
    for _ in range(2):
        assert evaluate("--out", "my") == 0
    after = content(run_dir)
    assert after.keys() - before.keys() == {"params.json", "macs.json", ".complete"} and after.items() >= before.items()


@pytest.mark.parametrize("text", ["{}", "[1]", "not JSON", '{"metric": "macs", "value": 3}'])
@pytest.mark.parametrize("options", [(), ("--overwrite",)])
def test_an_output_path_of_another_file_is_refused_before_any_compute(run_dir, capsys, no_compute, text, options):
    (run_dir / "params.json").write_text(text)
    before = content(run_dir)
    assert evaluate("--out", "my", *options) == 2
    assert (
        error(capsys).startswith("my/params.json: is not a file that slim-bench wrote") and content(run_dir) == before
    )


@pytest.mark.parametrize("change", [{"seed": 4}, {"scale": "small"}])
def test_the_score_of_another_run_is_replaced_only_with_overwrite(run_dir, capsys, change):
    assert evaluate("--out", "scores") == 0
    run = read_run(run_dir / "run.json").model_copy(update=change)
    write_run(run_dir / "run.json", run)
    write_json(run_dir / "model.json", json.loads((run_dir / "model.json").read_text()) | {"run_sha256": run.hash})
    before = content(Path("scores"))
    assert evaluate("--out", "scores") == 2
    assert "is a score of another run; --overwrite replaces it" in error(capsys)
    assert content(Path("scores")) == before
    assert evaluate("--out", "scores", "--overwrite") == 0
    assert read_score(Path("scores/params.json")).run_sha256 == run.hash


def test_scores_of_an_earlier_training_are_removed_from_the_run_folder(run_dir):
    assert evaluate() == 0
    (run_dir / "scores/notes.json").write_text("{}")
    run = read_run(run_dir / "run.json")
    run = run.model_copy(update={"recipe": run.recipe.model_copy(update={"learning_rate": 0.5})})
    write_run(run_dir / "run.json", metric_runs.evaluated(run, metrics=("params",)))
    write_json(run_dir / "model.json", json.loads((run_dir / "model.json").read_text()) | {"run_sha256": run.hash})
    assert evaluate() == 0
    assert sorted(path.name for path in (run_dir / "scores").iterdir()) == [".complete", "notes.json", "params.json"]


@pytest.mark.parametrize("size", [0, 20, 60])
def test_a_truncated_score_is_rewritten(run_dir, size):
    assert evaluate() == 0
    for name in ("params.json", ".complete"):
        path = run_dir / "scores" / name
        path.write_bytes(path.read_bytes()[:size])
    assert evaluate() == 0
    assert read_score(run_dir / "scores/params.json").value


OTHER = {"metric": "params", "value": 1.0, "protocol": "p", "status": "ok", "run_sha256": "x", "run": "a/b/seed0"}
DAMAGE = {
    "a list": "[]",
    "an object": "{}",
    "text": "not JSON",
    "other types": json.dumps(dict.fromkeys(OTHER, 7)),
    "not UTF-8": b"\xff\xfe{",
    "nested": "[" * 100_000,
    "of another run": json.dumps(OTHER),
    "under another name": json.dumps(OTHER | {"metric": "macs"}),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_scores_in_the_run_folder_are_moved_aside_and_scored_again(run_dir, capsys, damage):
    """`of another run` is a complete score; all other cases are damaged files."""
    content = DAMAGE[damage] if isinstance(DAMAGE[damage], bytes) else DAMAGE[damage].encode()
    (run_dir / "scores").mkdir()
    for name in ("params.json", "params@best.json", ".complete"):
        (run_dir / "scores" / name).write_bytes(content)
    assert evaluate() == 0
    assert read_score(run_dir / "scores/params.json").value and not (run_dir / "scores/params@best.json").exists()
    assert (run_dir / "scores/.complete").is_file() and (run_dir / "scores/.complete.aside-1").read_bytes() == content
    assert (run_dir / "scores/params.json.aside-1").read_bytes() == content
    assert (run_dir / "scores/params@best.json.aside-1").read_bytes() == content
    assert "my/scores/params.json: is damaged or was not written by slim-bench; moved to" in capsys.readouterr().err


def test_folders_pipes_and_links_in_place_of_scores_are_moved_aside(run_dir):
    scores = run_dir / "scores"
    (scores / "params.json/inner").mkdir(parents=True)
    os.mkfifo(scores / "macs.json")
    (scores / "ece.json").symlink_to("ece.json")
    (scores / ".complete").mkdir()
    (scores / "neighbours.png").mkdir()
    (scores / "params.json.aside-1").write_text("of an earlier time")
    assert evaluate() == 0
    assert read_score(scores / "params.json").value and read_score(scores / "macs.json").value
    assert (scores / "params.json.aside-2/inner").is_dir() and (scores / "macs.json.aside-1").is_fifo()
    assert (scores / "ece.json.aside-1").is_symlink() and not os.path.lexists(scores / "ece.json")
    assert (scores / "params.json.aside-1").read_text() == "of an earlier time"


def test_a_run_whose_compute_was_edited_after_the_training_is_scored(run_dir, capsys):
    """This happens on a machine without the GPU that trained the run.

    `.frozen.json` contains the original `compute`.
    """
    run = read_run(run_dir / "run.json")
    write_run(
        run_dir / "run.json",
        run.model_copy(update={"compute": run.compute.model_copy(update={"log_every": 3, "threads": 2})}),
    )
    assert evaluate() == 2 and "does not match run.json" in error(capsys)
    write_json(run_dir / ".frozen.json", {"compute": run.compute.model_dump(mode="json")})
    assert evaluate() == 0


def test_a_planned_metric_without_a_measurement_has_failed(run_dir, monkeypatch):
    monkeypatch.setattr("bench.evaluate.run.TASKS", {"fewshot": lambda *_: None})
    assert evaluate() == 0
    assert {read_score(run_dir / f"scores/{name}.json").status for name in ("params", "macs")} == {"failed"}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"status": "done"}', '{"status": "ok", "training": 3}'])
def test_a_damaged_record_gives_a_one_line_error_before_any_compute(run_dir, capsys, no_compute, text):
    (run_dir / "model.json").write_text(text)
    assert evaluate() == 2
    assert error(capsys).startswith("my/model.json: ")


def test_other_scores_of_another_run_are_kept(run_dir):
    other = {"metric": "ece", "value": 1.0, "protocol": "p", "status": "ok", "run_sha256": "x", "run": "a/b/seed0"}
    write_json(Path("scores/ece.json"), other)
    assert evaluate("--out", "scores") == 0
    assert json.loads(Path("scores/ece.json").read_text()) == other


def test_a_foreign_image_is_moved_aside_only_in_the_run_folder(run_dir, capsys, monkeypatch):
    for folder in (run_dir / "scores", Path("scores")):
        folder.mkdir()
        Image.new("RGB", (2, 2)).save(folder / "neighbours.png")
    before = content(Path("scores"))
    with monkeypatch.context() as patch:
        patch.setattr("bench.evaluate.run.TASKS", {})
        assert evaluate("--out", "scores") == 2
    assert error(capsys).startswith("scores/neighbours.png: is not") and content(Path("scores")) == before
    assert evaluate() == 0
    assert (run_dir / "scores/neighbours.png.aside-1").read_bytes() == before["neighbours.png"]


def test_a_file_as_scores_folder_gives_a_one_line_error(run_dir, capsys, no_compute):
    (run_dir / "thesis.tex").write_text("mine")
    assert evaluate("--out", "my/thesis.tex") == 2
    assert error(capsys).startswith("my/thesis.tex: is a file") and (run_dir / "thesis.tex").read_text() == "mine"


# ---- one file --------------------------------------------------------------------------------------------------------


@pytest.fixture
def commands(run_dir, monkeypatch, project):
    """Return option lists of commands that write one file each. Computing anything fails the test."""
    image_folder(Path("a"), 2)
    freeze = ["freeze", "--experiment", "fastgan-sle", "--dataset", "fluent-emoji-100", "--seed", "0"]
    return {
        "evaluate": ["evaluate", "--samples", "a", "--reference", "a", "--out"],
        "sample": ["sample", "--model", "my", "-n", "2", "--out"],
        "freeze": [*freeze, "--out"],
    }


@pytest.mark.parametrize("command", ["evaluate", "sample", "freeze"])
@pytest.mark.parametrize("name", ["thesis.tex", "photo.png", "package.json", "list.json", "my/model.json", "a/0.png"])
def test_another_file_of_that_name_is_refused(commands, command, name, capsys, monkeypatch):
    Path("thesis.tex").write_text("mine")
    Image.new("RGB", (2, 2)).save("photo.png")
    Path("package.json").write_text('{"name": "mine", "task": "build"}')
    Path("list.json").write_text('[{"name": "mine"}]')
    before = content(Path())
    monkeypatch.setattr("bench.evaluate.evaluate_folders", None)
    monkeypatch.setattr("bench.sample.sample", None)
    assert main([*commands[command], name]) == 2
    assert error(capsys) == f"{name}: is not a file that slim-bench wrote, and is not overwritten; give another --out"
    assert content(Path()) == before


@pytest.mark.parametrize("command", ["evaluate", "sample"])
def test_a_folder_as_file_gives_a_one_line_error(commands, command, capsys):
    before = content(Path())
    assert main([*commands[command], "a"]) == 2
    assert error(capsys).startswith("a: is a folder") and content(Path()) == before


def test_files_of_the_same_kind_are_replaced(commands, monkeypatch):
    write_png(Path("grid.png"), Image.new("RGB", (2, 2)))
    assert main([*commands["sample"], "grid.png"]) == 0
    with Image.open("grid.png") as image:
        assert image.size == (128, 64)
    run = json.loads(Path("my/run.json").read_text())
    del run["compute"]  # edited by a user
    write_json(Path("edited.json"), run)
    assert main([*commands["freeze"], "edited.json"]) == 0
    assert read_run(Path("edited.json")).experiment == "fastgan-sle"
    monkeypatch.setattr("bench.evaluate.evaluate_folders", lambda *_, **__: [])
    for _ in range(2):
        assert main([*commands["evaluate"], "my scores.json"]) == 0
