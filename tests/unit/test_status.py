"""Progress of runs, derived from the files in their folders, including damaged files."""

import shutil

import pytest

from bench.cli import main
from bench.files import write_json
from bench.frozen import write_frozen
from bench.paths import lock_path, run_folder, state_folder
from bench.plan import Plan
from bench.run import write_run
from bench.runtime.locks import lock_file
from bench.score import Score, write_score
from bench.status import run_state


@pytest.fixture
def run():
    return Plan.load().runs("demo")[0]


@pytest.fixture
def workdir(monkeypatch, project):
    monkeypatch.chdir(project)
    return project


def score(run, metric, **changes):
    fields = {"metric": metric, "value": 1.0, "direction": "lower", "protocol": "p", "seed": 0}
    return Score(**fields | {"run": run.name, "run_sha256": run.hash} | changes)


def test_a_run_passes_through_all_states(workdir, run):
    folder = workdir / run_folder(run.scale, run.experiment, run.dataset, run.seed)
    state = state_folder(folder)
    assert run_state(run, folder).state == "missing"
    write_frozen(folder, run)
    assert run_state(run, folder).state == "queued"
    (state / "outputs").mkdir(parents=True)
    (state / "outputs/history.csv").write_text("step,loss\n10,1.0\n20,0.5\n")
    found = run_state(run, folder)
    assert (found.state, found.step, found.total) == ("stopped", 20, run.recipe.steps)
    lock = lock_file(lock_path(folder))
    assert run_state(run, folder).state == "running"
    lock.release()
    shutil.rmtree(state)
    for status in ("ok", "failed"):  # for example, trained by a version that hashed other keys
        write_json(folder / "model.json", {"status": status, "run_sha256": "x", "reason": "of that training"})
        found = run_state(run, folder)
        assert found.state == "outdated" and "`slim-bench train` moves it to superseded/" in found.reason
    write_json(folder / "model.json", {"status": "ok", "run_sha256": run.hash})
    assert run_state(run, folder).state == "trained"
    for metric in run.evaluation.metrics:
        assert run_state(run, folder).state == "trained"  # the scores are incomplete
        write_score(folder / "scores", score(run, metric))
    assert run_state(run, folder).state == "ok"
    write_json(folder / "model.json", {"status": "ok", "run_sha256": run.hash, "model_sha256": "a"})
    write_score(folder / "scores", score(run, "params", export_sha256="of another"))
    assert run_state(run, folder).state == "trained"
    write_score(folder / "scores", score(run, "macs", value=None, status="failed", reason="why"))
    assert run_state(run, folder) == run_state(run, folder).__class__("failed", reason="no score for macs")
    write_json(folder / "model.json", {"status": "failed", "reason": "loss not finite"})
    assert run_state(run, folder).reason == "loss not finite"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"status": "done"}', '{"metric": "params"}', None])
@pytest.mark.parametrize(
    ("name", "state"), [("run.json", "damaged"), ("model.json", "damaged"), ("scores/params.json", "trained")]
)
def test_status_and_plan_name_a_damaged_file(workdir, run, capsys, name, state, text):
    """`None` means a folder in place of the file."""
    folder = run_folder(run.scale, run.experiment, run.dataset, run.seed)
    write_frozen(folder, run)
    write_json(folder / "model.json", {"status": "ok", "run_sha256": run.hash, "training": {"seconds": 5}})
    for metric in run.evaluation.metrics:
        write_score(folder / "scores", score(run, metric))
    (folder / name).unlink()
    if text is None:
        (folder / name).mkdir()
    else:
        (folder / name).write_text(text)
    found = run_state(run, folder)
    assert found.state == state and found.reason.startswith(f"{folder}/{name}: ")
    assert main(["plan", "demo"]) == 0 and main(["status", "demo"]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith(run.name))
    assert line.split(maxsplit=1)[1] == f"{state}: {found.reason}"


def test_a_run_trained_with_edited_compute_settings_is_ok(workdir, run):
    folder = run_folder(run.scale, run.experiment, run.dataset, run.seed)
    edited = run.model_copy(update={"compute": run.compute.model_copy(update={"threads": 3})})
    write_frozen(folder, run)
    write_run(folder / "run.json", edited)
    write_json(folder / "model.json", {"status": "ok", "run_sha256": edited.hash})
    for metric in run.evaluation.metrics:
        write_score(folder / "scores", score(edited, metric))
    assert run_state(run, folder).state == "ok"
    (folder / "run.json").unlink()
    assert run_state(run, folder).state == "outdated"
    write_run(folder / "run.json", edited)
    write_json(folder / "model.json", {"status": "ok", "run_sha256": run.hash})
    assert run_state(run, folder).state == "ok", "edited after the training"


def test_a_run_with_damaged_weights_is_not_ok(workdir, run):
    """The workflow would retrain it."""
    folder = workdir / run_folder(run.scale, run.experiment, run.dataset, run.seed)
    write_frozen(folder, run)
    write_json(folder / "model.json", {"status": "ok", "run_sha256": run.hash})
    (folder / "model.safetensors").write_bytes(b"cut")
    found = run_state(run, folder)
    assert found.state == "damaged" and "model.safetensors is damaged" in found.reason
