"""`train` overwrites and removes only files that slim-bench wrote, and moves aside a finished run that it replaces."""

import json
import os
import shutil

import pytest
from PIL import Image

from bench.cli import main
from bench.data.datasets import read_manifest
from bench.export import load_export
from bench.files import write_json, write_png
from bench.paths import superseded_folder
from bench.run import read_run, write_run
from bench.train import startup as start
from bench.train.loop.checkpoint import MAGIC
from bench.train.loop.folders import MARKER, OUTPUTS
from tests.helpers.tiny import tiny_run, write_data


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data("classification", tmp_path_factory.mktemp("data") / "prepared")


@pytest.fixture
def workdir(tmp_path, monkeypatch, data):
    """Write `my/run.json`, the description of a short run, and work in the folder above it."""
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "my/run.json", run_of(data))
    return tmp_path


def run_of(data, **changes):
    return tiny_run("classification", data, **{"epochs": 1, "warmup_epochs": 0, **changes})


def train(*options):
    return main(["train", "--run", "my/run.json", *options])


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def error(capsys):
    return capsys.readouterr().err.strip().splitlines()[-1].removeprefix("slim-bench: error: ")


@pytest.fixture
def no_compute(monkeypatch):
    monkeypatch.setattr("bench.train.startup.engine_class", None)


# ---- the folder of the checkpoints -----------------------------------------------------------------------------------


def test_a_state_folder_with_other_files_keeps_them(workdir):
    (workdir / "work/sub").mkdir(parents=True)
    for name in ("thesis.tex", "sub/photo.png", "step-notes.ckpt", ".draft.part"):
        (workdir / "work" / name).write_text(name)
    before = content(workdir / "work")
    assert train("--state", "work") == 0
    assert content(workdir / "work") == before and (workdir / "my/model.json").exists()


def test_the_state_folder_is_removed_after_training(workdir):
    assert train("--state", "my work/state") == 0
    assert not (workdir / "my work/state").exists()


TAKEN = ("outputs/a.txt", "outputs/samples/grid.png", "step-0000000007.ckpt", MARKER)


@pytest.mark.parametrize("name", TAKEN)
def test_another_file_in_the_state_folder_is_refused(workdir, capsys, no_compute, name):
    (workdir / "work" / name).parent.mkdir(parents=True)
    (workdir / "work" / name).write_text("mine")
    before = content(workdir)
    assert train("--state", "work") == 2
    refused = f"{OUTPUTS}: contains files that slim-bench" if "outputs" in name else f"{name}: is not a file"
    assert error(capsys).startswith(f"work/{refused}")
    assert content(workdir).items() >= before.items()


@pytest.mark.parametrize("state", ["my", ".", "data", "data/.."])
def test_a_state_folder_that_is_or_contains_the_run_or_the_data_is_refused(workdir, capsys, no_compute, data, state):
    state = state.replace("data", str(data))
    before = content(workdir) | content(data)
    assert train("--state", state) == 2
    assert "give another --state" in error(capsys)
    assert (content(workdir) | content(data)).items() >= before.items()


def test_checkpoints_of_a_version_without_a_marker_are_resumed(workdir, monkeypatch, data, capsys):
    state = workdir / "work"

    def stopped(self, index):
        raise KeyboardInterrupt

    engine = start.engine_class("classification")
    step = engine.step
    monkeypatch.setattr(engine, "step", stopped)
    assert train("--state", "work") == 130
    (state / MARKER).unlink()
    (state / "note.txt").write_text("mine")
    monkeypatch.setattr(engine, "step", step)
    assert train("--state", "work") == 0
    assert "resumed at step 0" in capsys.readouterr().err
    assert content(state) == {"note.txt": b"mine"}


# ---- the folder of the run -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["README.md", "model.json", ".model.json", "model.safetensors", "history.csv", "samples/a.jpg", "samples/grid.png"]
    + ["best/model.safetensors", "best/photo.jpg", "snapshots/step-0000001.safetensors"],
)
def test_another_file_in_the_run_folder_is_refused_before_any_compute(workdir, capsys, no_compute, name):
    (workdir / "my" / name).parent.mkdir(exist_ok=True)
    (workdir / "my" / name).write_text('{"status": "mine"}')
    before = content(workdir)
    assert train() == 2
    message = error(capsys)
    assert (
        message.startswith((f"my/{name}: is not", f"my/{name.partition('/')[0]}: contains files"))
        and "--out" in message
    )
    assert content(workdir).items() >= before.items()


def test_an_unmarked_image_next_to_a_new_run_is_foreign(workdir, capsys, no_compute):
    (workdir / "my/samples").mkdir()
    Image.new("RGB", (2, 2)).save(workdir / "my/samples/grid.png")
    before = content(workdir)
    assert train() == 2
    assert error(capsys).startswith("my/samples/grid.png: is not")
    assert content(workdir).items() >= before.items()


def test_other_files_in_the_run_folder_are_kept(workdir):
    write_png(workdir / "my/samples/grid.png", Image.new("RGB", (2, 2)))
    mine = {"notes.txt": "a", "samples/note.txt": "b", "model.json.bak": "c", ".draft.part": "d", "photos/1.png": "e"}
    for name, text in mine.items():
        (workdir / "my" / name).parent.mkdir(exist_ok=True)
        (workdir / "my" / name).write_text(text)
    assert train() == 0
    assert content(workdir / "my").items() >= {name: text.encode() for name, text in mine.items()}.items()
    assert json.loads((workdir / "my/model.json").read_text())["status"] == "ok"


def test_the_description_of_another_run_in_the_folder_is_refused(workdir, capsys, no_compute, data):
    write_run(workdir / "other/run.json", run_of(data, epochs=7))
    before = content(workdir)
    assert train("--out", "other") == 2
    assert "other/run.json: describes a run other than" in error(capsys)
    assert content(workdir).items() >= before.items()


def test_a_file_created_during_training_is_not_overwritten(workdir, monkeypatch, capsys):
    engine = start.engine_class("classification")
    step = engine.step

    def write_in_step(self, index):
        (workdir / "my/README.md").write_text("mine")
        return step(self, index)

    monkeypatch.setattr(engine, "step", write_in_step)
    assert train() == 2
    assert error(capsys).startswith("my/README.md: is not") and (workdir / "my/README.md").read_text() == "mine"
    (workdir / "my/README.md").rename(workdir / "my/mine.md")
    monkeypatch.setattr(engine, "step", None)
    assert train() == 0, "no file of the run was lost"


# ---- finished runs ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory, data):
    """Create a finished run with a score, a manually edited list of metrics, and a note of the user."""
    folder = tmp_path_factory.mktemp("finished") / "my"
    run = run_of(data)
    write_run(folder / "run.json", run)
    assert main(["train", "--run", str(folder / "run.json")]) == 0
    assert main(["evaluate", "--run", str(folder / "run.json")]) == 0
    write_png(folder / "samples/grid.png", Image.new("RGB", (2, 2)))
    (folder / "notes.txt").write_text("mine")
    (folder / "scores/notes.txt").write_text("mine")
    return folder


@pytest.fixture
def copied(finished, tmp_path, monkeypatch):
    shutil.copytree(finished, tmp_path / "my")
    monkeypatch.chdir(tmp_path)
    return tmp_path


OURS = {"run.json", "model.json", ".model.json", "model.safetensors", "README.md", "history.csv", "samples/grid.png"}
OURS |= {"scores/params.json", "scores/.complete"}


def is_kept(moved, before):
    kept = content(moved)
    return kept.keys() == OURS and all(kept[name] == before[name] for name in OURS - {"run.json"})


def test_a_finished_run_of_another_description_is_moved_aside_completely(copied, data, capsys):
    before = content(copied / "my")
    write_run(copied / "my/run.json", run_of(data, learning_rate=0.2))
    assert train() == 0
    assert "the finished run in my was moved to my.superseded-1" in capsys.readouterr().err
    moved = copied / "my.superseded-1"
    assert is_kept(moved, before)
    assert read_run(moved / "run.json") == run_of(data), "as written by training"
    assert load_export(moved)[1]["run_sha256"] == run_of(data).hash
    assert load_export(copied / "my")[1]["run_sha256"] == run_of(data, learning_rate=0.2).hash
    assert (copied / "my/notes.txt").read_text() == (copied / "my/scores/notes.txt").read_text() == "mine"
    assert not (copied / "my/scores/params.json").exists()


def test_a_finished_run_with_an_older_hash_is_moved_aside(copied, data, capsys):
    """An earlier version hashed other keys, so its record does not show that this run is the same."""
    for name in ("model.json", ".model.json"):
        write_json(
            copied / "my" / name,
            json.loads((copied / "my" / name).read_text()) | {"run_sha256": "0" * 64},
        )
    assert main(["evaluate", "--run", "my/run.json"]) == 2
    assert "or an earlier version wrote the export; `slim-bench train` retrains the run" in error(capsys)
    before = content(copied / "my")
    assert train() == 0
    assert "the finished run in my was moved to my.superseded-1" in capsys.readouterr().err
    assert is_kept(copied / "my.superseded-1", before)
    assert read_run(copied / "my.superseded-1/run.json") == read_run(copied / "my/run.json") == run_of(data)
    assert load_export(copied / "my")[1]["run_sha256"] == run_of(data).hash


def test_a_finished_run_on_other_data_is_moved_aside(copied, data, capsys):
    before = content(copied / "my")
    manifest = json.loads((data / "manifest.json").read_text())
    shutil.copytree(data, copied / "data")
    write_json(copied / "data/manifest.json", manifest | {"sha256": "f" * 64})
    for name in ("model.json", ".model.json"):
        record = json.loads((copied / "my" / name).read_text())
        write_json(copied / "my" / name, record | {"data_sha256": "0" * 64})
    before = content(copied / "my")
    assert train() == 0
    assert "was moved to my.superseded-1" in capsys.readouterr().err
    assert is_kept(copied / "my.superseded-1", before)
    assert load_export(copied / "my")[1]["data_sha256"] == read_manifest(data).sha256


def test_a_record_that_the_workflow_deleted_is_restored_in_the_superseded_folder(copied, data):
    before = content(copied / "my")
    (copied / "my/model.json").unlink()
    write_run(copied / "my/run.json", run_of(data, learning_rate=0.2))
    assert train() == 0
    assert is_kept(copied / "my.superseded-1", before)


def test_a_finished_run_of_other_code_is_kept(copied, monkeypatch, no_compute, capsys):
    before = content(copied / "my")
    monkeypatch.setattr("bench.train.loop.record.training_modules", lambda task, model: ("bench.train.ema",))
    for lost in (False, True):
        if lost:
            (copied / "my/model.json").unlink()
        assert train() == 0
        assert "by a different code version; --overwrite retrains" in error(capsys)
        assert content(copied / "my") == before


def test_overwrite_retrains_and_keeps_each_finished_run(copied, capsys):
    before = content(copied / "my")
    for number in (1, 2):
        assert train("--overwrite") == 0
        assert f"moved to my.superseded-{number}" in capsys.readouterr().err
        assert read_run(copied / "my/run.json")
    assert is_kept(copied / "my.superseded-1", before)
    assert load_export(copied / "my.superseded-2")[1]["status"] == load_export(copied / "my")[1]["status"] == "ok"


def test_a_run_that_cannot_start_keeps_the_finished_one(copied, data, capsys):
    before = content(copied / "my")
    write_run(copied / "my/run.json", run_of(data, holdout=1000))
    assert train() == 2
    assert "recipe.holdout 1000" in error(capsys)
    assert {**content(copied / "my"), "run.json": b""} == {**before, "run.json": b""}


class KilledError(BaseException):
    """Raised in place of a SIGKILL."""


@pytest.mark.parametrize("moment", [0, 3, 7, 8, 9, 12, 15, 17])
def test_a_kill_while_a_run_is_moved_aside_loses_no_file(copied, data, monkeypatch, moment):
    """Every file is in the run folder or in a superseded folder, and the next start trains."""
    before = content(copied / "my")
    write_run(copied / "my/run.json", run_of(data, learning_rate=0.2))
    calls, link, unlink, rename = [], os.link, type(copied).unlink, type(copied).rename

    def counted(function):
        def call(*arguments, **options):
            if len(calls) == moment:
                raise KilledError
            calls.append(function)
            return function(*arguments, **options)

        return call

    with monkeypatch.context() as patch:
        patch.setattr("bench.train.loop.superseded.os.link", counted(link))
        patch.setattr("pathlib.Path.unlink", counted(unlink))
        patch.setattr("pathlib.Path.rename", counted(rename))
        with pytest.raises(KilledError):
            train()
    found = {data for folder in copied.iterdir() if folder.is_dir() for data in content(folder).values()}
    assert found >= {before[name] for name in OURS - {"run.json"}}
    assert train() == 0
    assert load_export(copied / "my")[1]["run_sha256"] == run_of(data, learning_rate=0.2).hash
    places = [path for path in copied.iterdir() if "superseded" in path.name]
    assert [path.name for path in places] == ["my.superseded-1"] and is_kept(places[0], before)


def test_files_are_copied_if_hard_links_are_impossible(copied, data, monkeypatch):
    def none(*_):
        raise OSError

    before = content(copied / "my")
    monkeypatch.setattr("bench.train.loop.superseded.os.link", none)
    write_run(copied / "my/run.json", run_of(data, learning_rate=0.2))
    assert train() == 0
    assert is_kept(copied / "my.superseded-1", before)


def test_unmarked_images_of_an_older_version_are_recognised(copied, data):
    Image.new("RGB", (2, 2)).save(copied / "my/samples/grid.png")
    for name in ("model.json", ".model.json"):
        record = json.loads((copied / "my" / name).read_text())
        del record["description"]
        write_json(copied / "my" / name, record)
    before = content(copied / "my")
    assert train("--overwrite") == 0
    assert is_kept(copied / "my.superseded-1", before)


def test_superseded_folder_of_a_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = "results/demo/runs/singan/photo-rocket/seed1"
    assert superseded_folder(run, 2).as_posix() == "results/demo/superseded/singan/photo-rocket/seed1-2"
    assert superseded_folder("my run", 1).as_posix() == "my run.superseded-1"


def test_weights_without_a_record_are_not_overwritten(workdir, finished):
    shutil.copy(finished / "model.safetensors", workdir / "my")
    before = (workdir / "my/model.safetensors").read_bytes()
    assert train() == 0
    assert (workdir / "my.superseded-1/model.safetensors").read_bytes() == before


def test_a_checkpoint_truncated_in_its_header_is_recognised(workdir):
    (workdir / "work").mkdir()
    (workdir / "work/step-0000000001.ckpt").write_bytes(MAGIC[:5])
    assert train("--state", "work") == 0
    assert not (workdir / "work").exists()
