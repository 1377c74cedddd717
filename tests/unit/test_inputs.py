"""Inputs that differ from the documented form are accepted, or refused with a one-line error before any compute."""

import json

import pytest

from bench.cli import main
from bench.commands import running
from bench.commands.common import export_folder, run_file, user_path
from bench.run import read_run

FREEZE = ["freeze", "--experiment", "fastgan-sle", "--dataset", "fluent-emoji-100", "--seed", "0", "--out"]


@pytest.fixture
def workdir(monkeypatch, project):
    """Create a project with a frozen run `my`, an empty folder and a folder of images."""
    monkeypatch.chdir(project)
    for name in ("empty", "pictures"):
        (project / name).mkdir()
    (project / "pictures/a.png").touch()
    assert main([*FREEZE, "my/run.json"]) == 0
    return project


@pytest.mark.parametrize("given", ["my", "my/", "new", "new/", "./new", "empty", "new/run.json", "new/other.json"])
def test_freeze_takes_the_folder_for_its_run(workdir, given, capsys):
    assert main([*FREEZE, given]) == 0
    written = workdir / capsys.readouterr().out.splitlines()[-1]
    assert written == (workdir / given if given.endswith(".json") else workdir / given / "run.json")
    assert read_run(written) == read_run(workdir / "my/run.json")


@pytest.mark.parametrize(
    "command",
    [
        ["audit", ""],
        [*FREEZE, ""],
        ["train", "--run", ""],
        ["prepare", "fluent-emoji-100", "--out", " "],
        ["evaluate", "--samples", "", "--reference", "pictures"],
        ["evaluate", "--samples", "pictures", "--reference", ""],
    ],
)
def test_an_empty_path_is_not_the_current_folder(workdir, capsys, command):
    with pytest.raises(SystemExit, match="2"):
        main(command)
    assert "the path is empty" in capsys.readouterr().err


@pytest.mark.parametrize("given", ["my", "my/", "my/run.json", "my/model.json", "my/model.safetensors"])
def test_a_run_is_named_by_its_folder_or_any_of_its_files(workdir, monkeypatch, given):
    seen = []
    monkeypatch.setattr(running, "read_job", lambda path: seen.append(path.as_posix()) or read_run("my/other.json"))
    (workdir / "my/model.json").write_text(json.dumps({"status": "ok"}))
    for command in ("train", "evaluate"):
        assert main([command, "--run", given]) == 2
    assert seen == ["my/run.json"] * 2
    assert export_folder(user_path(given)).as_posix() == "my"


def test_a_path_without_a_run_is_returned_unchanged(workdir):
    assert run_file(user_path("nothing")).as_posix() == "nothing"
    assert export_folder(user_path("nothing")).as_posix() == "nothing"
    assert user_path("~/x") == user_path("~") / "x"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["train", "--run", "empty"],
            "--run empty: is a folder without run.json; create one with `slim-bench freeze`",
        ),
        (["evaluate", "--run", "empty"], "--run empty: is a folder without run.json"),
        (["train", "--run", "nothing/model.json"], "nothing/model.json: no such file"),
        (["sample", "--model", "my", "--out", "empty"], "empty: is a folder, but a file must be written there"),
        (["sample", "--model", "my", "--out", "grid.jpg"], "--out grid.jpg: the output is a .png file, not .jpg"),
        (["sample", "--model", "my/run.json", "--out", "grid"], "my/model.json: no such file"),
        (["classify", "--model", "my", "pictures"], "pictures: is a folder; pass its image files, pictures/*"),
        (
            ["evaluate", "--samples", "a", "--reference", "b", "--out", "empty"],
            "empty: is a folder, but a file must be written there",
        ),
        (["evaluate", "--samples", "a", "--reference", "b", "--out", "a.csv"], "the output is a .json file, not .csv"),
        (
            ["prepare", "pictures", "--size", "64"],
            "your own images, pass --folder mine=pictures and the dataset name mine",
        ),
        (["fetch", "./pictures"], "'./pictures' is not in config/datasets.yaml; to use your own images"),
        (["audit", "pictures/a.png"], "pass --folder mine=pictures/a.png and the dataset name mine"),
        (["prepare", "nothing/x"], "and there is no such file or folder"),
        (["prepare", "fluent-emoji-100", "--size", "64px"], "--size 64px: expected a number of pixels, or full"),
        (
            ["plan", "--scale", "paper"],
            "plan --scale paper: a suite is required, for example `slim-bench plan demo --scale paper`",
        ),
        (["collect", "--scale", "demos"], "there are no results at scale demos yet (did you mean 'demo'?)"),
        (["report", "--scale", "tiny"], "results/tiny: no such folder"),
    ],
)
def test_the_error_names_the_right_argument(workdir, capsys, arguments, message):
    (workdir / "results/demo/runs").mkdir(parents=True)
    assert main(arguments) == 2
    (line,) = [row for row in capsys.readouterr().err.splitlines() if "slim-bench: error" in row]
    assert message in line
