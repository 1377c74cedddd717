"""What runs again, and why: by content, whatever the times of files say."""

import os
import shutil
import time
from pathlib import Path

import pytest

from bench.data.fetch import fetch
from bench.data.prepare import prepare
from bench.errors import InputError
from bench.files import read_json, write_json, write_text
from bench.made_from import COMPLETE, write_complete
from bench.outdated import Outdated, settle
from bench.paths import RESULTS
from bench.plan import Plan
from bench.report.read.collect import collect
from bench.run import write_run
from tests.helpers.data_project import image_folder

EXPERIMENT = "fastgan-sle"


@pytest.fixture
def here(project, tmp_path, monkeypatch):
    """A project whose own dataset `cats` is fetched, prepared, trained and scored."""
    monkeypatch.chdir(project)
    (project / "data/sources").mkdir(parents=True)
    image_folder(project / "cats", count=4, size=(64, 64))
    plan, run = load()
    fetch("cats", folders=plan.folders)
    manifest = prepare("cats", 64, folders=plan.folders)
    folder = plan.folder_of(run)
    write_run(folder / "run.json", run)
    (folder / "model.safetensors").write_bytes(b"weights")
    model = {"status": "ok", "run_sha256": run.hash, "data_sha256": manifest.sha256, "model_sha256": "0" * 64}
    write_json(folder / "model.json", model)
    write_json(folder / "scores/params.json", score("params"))
    write_complete(folder / "scores", run, model, [folder / "scores/params.json"])
    return folder


def score(metric: str) -> dict[str, object]:
    return {"metric": metric, "status": "ok", "weights": "last", "value": 1.0, "protocol": metric}


def load():
    plan = Plan.load({"folders": {"cats": {"path": "cats"}}})
    return plan, plan.run("tiny", EXPERIMENT, "cats", 0)


def reasons() -> dict[str, str]:
    """Rule -> why its output is out of date, for those that are."""
    plan, run = load()
    found = Outdated(plan)
    checks = {
        "fetch": found.source("cats"),
        "prepare": found.prepared(run.data.path, "cats"),
        "freeze": found.description(run),
        "train": found.model(run),
        "evaluate": found.scores(run),
    }
    return {rule: reason for rule, reason in checks.items() if reason}


def test_what_was_just_made_is_current(here):
    assert reasons() == {}


def test_times_decide_nothing(here):
    for path in [*Path("cats").iterdir(), *Path("data").rglob("*"), *here.rglob("*"), *Path("config").iterdir()]:
        os.utime(path, (time.time() + 86400,) * 2)
    assert reasons() == {}


def test_a_time_in_the_future_is_brought_back(here):
    """Snakemake deletes an output that is older than its input."""
    tomorrow = time.time() + 86400
    os.utime(here / "model.json", (tomorrow, tomorrow))
    before = (here / "scores/params.json").stat().st_mtime_ns
    reasons()
    settle(here / "scores/params.json")
    assert (here / "model.json").stat().st_mtime <= time.time()
    assert (here / "scores/params.json").stat().st_mtime_ns == before, "a time in the past stays"


def test_identical_bytes_fetched_again_change_nothing(here):
    for path in list(Path("cats").iterdir()):
        kept = path.read_bytes()
        path.unlink()
        path.write_bytes(kept)
    plan, _ = load()
    fetch("cats", folders=plan.folders)
    assert reasons() == {}


def test_a_removed_source_is_not_missed_once_it_is_prepared(here):
    shutil.rmtree("cats")
    assert reasons() == {}


@pytest.mark.parametrize("same_time", [False, True])
def test_a_changed_image_renews_all_that_depends_on_it(here, same_time):
    path = Path("cats/0.png")
    status = path.stat()
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    if same_time:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert set(reasons()) == {"fetch", "prepare", "train", "evaluate"}
    assert "files of cats have changed" in reasons()["train"]


@pytest.mark.parametrize(
    ("file", "content", "renewed"),
    [
        ("run.json", "{", {"freeze"}),
        ("run.json", None, set()),
        ("model.json", '{"status": "ok"', {"train", "evaluate"}),
        ("model.json", "{}", {"train", "evaluate"}),
        ("model.json", None, {"evaluate"}),
        ("model.safetensors", None, {"train", "evaluate"}),
        ("scores/params.json", "[]", {"evaluate"}),
        ("scores/params.json", None, {"evaluate"}),
        (f"scores/{COMPLETE}", "", {"evaluate"}),
        (f"scores/{COMPLETE}", None, set()),
    ],
)
def test_a_damaged_or_lost_file_is_made_again_and_its_followers(here, file, content, renewed):
    """What is missing Snakemake sees by itself: only what depends on it is named here."""
    (here / file).unlink()
    if content is not None:
        (here / file).write_text(content)
    assert set(reasons()) == renewed


def test_a_changed_configuration_renews_without_any_record_of_snakemake(here, edit):
    edit("scales.yaml", "steps: 6,", "steps: 7,")
    assert set(reasons()) == {"freeze", "train", "evaluate"}
    assert "another configuration or version" in reasons()["train"]


def test_other_metrics_are_scored_without_training_again(here, edit):
    description = read_json(here / "run.json")
    description["evaluation"]["metrics"] = ["params"]
    write_json(here / "run.json", description)
    assert set(reasons()) == {"freeze"}
    _, run = load()
    model = read_json(here / "model.json")
    scored = run.model_copy(update={"evaluation": run.evaluation.model_copy(update={"metrics": ("params",)})})
    write_complete(here / "scores", scored, model, [here / "scores/params.json"])
    assert set(reasons()) == {"freeze", "evaluate"}


def test_a_table_follows_the_scores_and_heals(here):
    plan, run = load()
    scale = RESULTS / "tiny"
    assert Outdated(plan).table("tiny", [run], False) is None, "missing is not outdated"
    collect(scale)
    assert Outdated(plan).table("tiny", [run], False) is None
    assert "holds other runs" in Outdated(plan).table("tiny", [run], True), "the option is part of the table"
    (scale / "scores.csv").write_text((scale / "scores.csv").read_text()[:200])
    assert "damaged" in Outdated(plan).table("tiny", [], False)
    collect(scale)
    write_json(here / "scores/macs.json", score("macs"))
    assert "holds other runs" in Outdated(plan).table("tiny", [run], False)


def test_a_page_follows_table_claims_and_published_values(here):
    plan, _ = load()
    scale = RESULTS / "tiny"
    collect(scale)
    write_text(scale / "report/index.html", "the page")
    assert "have changed" in Outdated(plan).page("tiny", "report/index.html")


def test_a_name_with_results_keeps_its_source(here, project):
    image_folder(project / "dogs", count=4, size=(64, 64))
    with pytest.raises(InputError, match=r"cats: its results \(results/tiny/runs/fastgan-sle/cats\) were made from"):
        fetch("cats", folders={"cats": {"path": "dogs"}})
    assert read_json(Path("data/sources/cats.json"))["place"] == "cats"
    shutil.rmtree(RESULTS)
    fetch("cats", folders={"cats": {"path": "dogs"}})
    assert read_json(Path("data/sources/cats.json"))["place"] == "dogs"
