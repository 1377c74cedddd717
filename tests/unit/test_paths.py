"""A job can be started in any folder and finds the same checkpoints and data."""

from pathlib import Path

import pytest

from bench import paths
from bench.errors import InputError
from bench.paths import find_data, lock_path, run_folder, run_name, state_folder
from bench.plan import Plan
from bench.run import read_job, read_run, write_run
from tests.helpers import ROOT

FOLDER = run_folder("demo", "singan", "photo-rocket", 1)
STATE = "results/demo/state/singan/photo-rocket/seed1"


def test_a_run_has_its_folder_and_name():
    assert FOLDER.as_posix() == "results/demo/runs/singan/photo-rocket/seed1"
    assert run_name("singan", "photo-rocket", 1) == "singan/photo-rocket/seed1"


def test_state_folder_of_a_run():
    assert state_folder(FOLDER).as_posix() == STATE
    assert state_folder("my/run").as_posix() == "my/.run-state"


@pytest.mark.parametrize("given", [".", "", "../seed1", "../../photo-rocket/seed1/samples/..", "{workdir}"])
def test_the_state_folder_is_the_same_from_inside_the_run_folder(tmp_path, monkeypatch, given):
    (tmp_path / FOLDER / "samples").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / FOLDER)
    assert state_folder(given.format(workdir=tmp_path / FOLDER)) == tmp_path / STATE


@pytest.mark.parametrize("given", [".", "..", "../my", "sub", "../my/sub"])
def test_state_of_another_folder_is_hidden_next_to_it(tmp_path, monkeypatch, given):
    (tmp_path / "my/sub").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "my")
    folder = Path(given).resolve()
    assert Path.cwd() / state_folder(given) == folder.parent / f".{folder.name}-state"
    assert lock_path(given).resolve() == lock_path(folder)


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Create a current folder without data and two projects, one with a run.json and one with the package."""
    for project in ("theirs", "installed"):
        (tmp_path / project / "config").mkdir(parents=True)
        (tmp_path / project / "config/datasets.yaml").touch()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(paths, "PROJECT", tmp_path / "installed")
    return tmp_path


def test_data_are_searched_in_three_project_folders(elsewhere):
    file, data = elsewhere / "theirs/my/run.json", "data/prepared/cats-64"
    assert find_data(data, file) is None
    for parent in ("installed", "theirs", "here"):
        (elsewhere / parent / data).mkdir(parents=True)
        assert find_data(data, file).resolve() == elsewhere / parent / data
    assert find_data(str(elsewhere / "theirs" / data), file) == elsewhere / "theirs" / data
    assert find_data(str(elsewhere / "nowhere"), file) is None


def test_the_error_for_missing_data_names_file_and_key(elsewhere):
    run, file = Plan.load(root=ROOT).runs("demo")[0], elsewhere / "theirs/run.json"
    write_run(file, run)
    with pytest.raises(InputError, match=rf"{file}: data\.path: no folder {run.data.path} .*slim-bench prepare"):
        read_job(file).data_folder  # noqa: B018
    assert read_job(file).hash == read_run(file).hash == run.hash
