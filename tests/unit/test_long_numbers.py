"""An overlong or invalid number in an option, a variable or a table gives a one-line error, never a traceback."""

import os

import pytest

from bench.cli import main
from bench.config import Settings
from bench.errors import InputError
from bench.paths import state_folder
from bench.plan import Plan
from bench.runtime.environment import launcher_variable
from bench.schema import parse_strict, whole_number
from bench.status import run_state
from bench.train.loop.history import History

LONG = "1" * 5000  # Python itself refuses to convert more than 4,300 digits


def test_a_whole_number_has_16_digits_at_most():
    assert [whole_number(text) for text in ("0", "064", "9" * 16)] == [0, 64, 10**16 - 1]
    assert {whole_number(text) for text in ("", "-1", "1.5", "1e3", "²", "x", "9" * 17, LONG)} == {None}


@pytest.mark.parametrize(
    "command",
    [
        ["prepare", "fashion-mnist", "--size", LONG],
        ["evaluate", "--samples", "a", "--reference", "b", "--background", f"0,0,{LONG}"],
    ],
)
def test_an_option_of_5000_digits_is_refused(command, capsys):
    assert main(command) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"slim-bench: error: {command[-2]} ")


@pytest.mark.parametrize("key", ["seeds", "max_unpacked_gb", "scale"])
def test_a_setting_of_5000_digits_is_refused_or_kept_as_text(key):
    if key == "scale":
        assert Settings(scale=LONG).scale == LONG  # not a name of a scale
        return
    with pytest.raises(InputError, match=f"config: {key}"):
        parse_strict(Settings, {key: LONG}, "config")


@pytest.mark.parametrize("value", ["x", "", "-1", "1.5", LONG])
def test_an_invalid_launcher_variable_is_refused(value, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", value)
    with pytest.raises(InputError, match="WORLD_SIZE="):
        launcher_variable("WORLD_SIZE", 1)
    monkeypatch.delenv("WORLD_SIZE")
    assert launcher_variable("WORLD_SIZE", 1) == 1


@pytest.mark.parametrize("step", [LONG, "1e400", "inf", "nan", "x", "1" * 200_000])
def test_status_accepts_any_step_of_a_history(step, tmp_path, monkeypatch):
    run = Plan.load().runs("tiny")[0]
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "results/tiny/runs" / run.name
    path = state_folder(folder) / "outputs/history.csv"
    path.parent.mkdir(parents=True)
    path.write_text(f"step,seconds\n{step},1\n")
    assert run_state(run, folder).state in ("missing", "stopped")


def test_a_history_keeps_its_readable_rows_and_a_pipe_is_refused(tmp_path):
    path = tmp_path / "history.csv"
    path.write_text(f"step,loss\n1,2\n{LONG},3\n")
    History(path).cut_after(5)
    assert path.read_text().splitlines() == ["step,loss", "1,2"]
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(InputError, match=r"history\.csv: not a regular file"):
        History(path)
