"""Runs whose dataset the user must install are left out, and their datasets are listed once."""

from pathlib import Path

import pytest

from bench.errors import InputError
from bench.missing_data import MissingData
from bench.plan import Plan
from tests.helpers import ROOT

MISSING = {"imagenet": "ask image-net.org", "singan-tower": "ask the authors", "singan-bridge": "ask the authors"}


@pytest.fixture
def missing(monkeypatch, tmp_path):
    monkeypatch.setattr("bench.missing_data.required_action", lambda job: MISSING.get(job.name))
    monkeypatch.chdir(tmp_path)
    return MissingData(Plan.load({}, ROOT))


def test_other_runs_start_and_missing_datasets_are_listed_once(missing, capsys):
    runs = missing.plan.runs("paper")
    started = missing.runnable("paper")
    assert started == [run for run in runs if run.dataset not in MISSING]
    lines = capsys.readouterr().err.splitlines()
    counts = {name: sum(run.dataset == name for run in runs) for name in MISSING}
    assert lines[0].startswith(f"slim-bench: paper: {sum(counts.values())} of {len(runs)} runs are left out")
    assert sorted(lines[1:]) == [
        f"  imagenet ({counts['imagenet']} runs): ask image-net.org",
        f"  singan-bridge, singan-tower ({counts['singan-bridge'] + counts['singan-tower']} runs): ask the authors",
    ]
    assert missing.runnable("paper") == started and capsys.readouterr().err == ""


def test_a_prepared_dataset_needs_no_source(missing, capsys):
    runs = missing.plan.runs("paper")
    prepared = Path(next(run.data.path for run in runs if run.dataset == "imagenet"))
    prepared.mkdir(parents=True)
    (prepared / "manifest.json").write_text("{}")
    assert any(run.dataset == "imagenet" for run in missing.runnable("paper"))
    assert "imagenet" not in capsys.readouterr().err


def test_a_suite_that_cannot_start_is_an_error(missing, capsys):
    missing.plan = Plan.load({"datasets": ["imagenet"]}, ROOT)
    with pytest.raises(InputError, match="paper: no run can start before the data listed above are installed"):
        missing.runnable("paper")
    assert "imagenet" in capsys.readouterr().err
