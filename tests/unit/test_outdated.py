"""Change detection by content, independent of modification times, with the rerun rules and their reasons."""

import json
import os
import shutil
import time
from functools import cache
from pathlib import Path

import pytest

from bench.data.fetch import fetch
from bench.data.prepare import prepare
from bench.errors import InputError
from bench.files import read_json, write_json, write_text
from bench.frozen import FROZEN, write_frozen
from bench.input_hashes import COLLECTED, COMPLETE, RENDERED, rendered_from, write_complete
from bench.outdated import Outdated, reset_future_time
from bench.paths import RESULTS
from bench.plan import Plan
from bench.report.read.collect import collect
from bench.run import read_run
from tests.helpers import ROOT
from tests.helpers.data_project import image_folder

EXPERIMENT = "fastgan-sle"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Create a project whose own dataset `cats` is fetched, prepared, trained and scored."""
    root = tmp_path_factory.mktemp("made")
    shutil.copytree(ROOT / "config", root / "config")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        (root / "data/sources").mkdir(parents=True)
        image_folder(root / "cats", count=4, size=(64, 64))
        plan, run = load()
        fetch("cats", folders=plan.folders)
        manifest = prepare("cats", 64, folders=plan.folders)
        folder = plan.folder_of(run)
        write_frozen(folder, run)
        (folder / "model.safetensors").write_bytes(weights())
        model = {"status": "ok", "run_sha256": run.hash, "data_sha256": manifest.sha256, "model_sha256": "0" * 64}
        write_json(folder / "model.json", model)
        for metric in run.evaluation.metrics:
            write_json(folder / f"scores/{metric}.json", score(metric))
        write_complete(folder / "scores", run, model, (folder / "scores").glob("*.json"))
        yield root


@pytest.fixture
def workdir(made, project, monkeypatch):
    """Return the run folder in a copy of that project."""
    for name in ("cats", "data", "results"):
        shutil.copytree(made / name, project / name)
    monkeypatch.chdir(project)
    plan, run = load()
    return plan.folder_of(run)


def weights() -> bytes:
    """Return a file in the format of weights: eight bytes of length, the header, numbers."""
    spec = json.dumps({"name": "fastgan-sle", "args": {}})
    tensor = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    header = json.dumps({"__metadata__": {"model": spec}, "weight": tensor}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(8)


def score(metric: str) -> dict[str, object]:
    return {"metric": metric, "status": "ok", "weights": "last", "value": 1.0, "protocol": metric}


def load():
    configuration = tuple(path.read_bytes() for path in sorted(Path("config").rglob("*.yaml")))
    return read_plan(configuration)


@cache
def read_plan(_: tuple[bytes, ...]):
    """Return the plan of the current folder, read once for each configuration."""
    plan = Plan.load({"folders": {"cats": {"path": "cats"}}})
    return plan, plan.run("tiny", EXPERIMENT, "cats", 0)


def reasons() -> dict[str, str]:
    """Return rule -> reason for all rules whose output is outdated."""
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


def test_new_outputs_are_up_to_date(workdir):
    assert reasons() == {}


def test_modification_times_are_ignored(workdir):
    for path in [*Path("cats").iterdir(), *Path("data").rglob("*"), *workdir.rglob("*"), *Path("config").iterdir()]:
        os.utime(path, (time.time() + 86400,) * 2)
    assert reasons() == {}


def test_a_modification_time_in_the_future_is_reset(workdir):
    """Snakemake deletes an output that is older than its input."""
    tomorrow = time.time() + 86400
    os.utime(workdir / "model.json", (tomorrow, tomorrow))
    before = (workdir / "scores/params.json").stat().st_mtime_ns
    reasons()
    reset_future_time(workdir / "scores/params.json")
    assert (workdir / "model.json").stat().st_mtime <= time.time()
    assert (workdir / "scores/params.json").stat().st_mtime_ns == before, "a time in the past is kept"


def test_fetching_identical_bytes_again_changes_no_file(workdir):
    for path in list(Path("cats").iterdir()):
        kept = path.read_bytes()
        path.unlink()
        path.write_bytes(kept)
    plan, _ = load()
    fetch("cats", folders=plan.folders)
    assert reasons() == {}


def test_a_removed_source_is_not_needed_after_preparation(workdir):
    shutil.rmtree("cats")
    assert reasons() == {}


@pytest.mark.parametrize("same_time", [False, True])
def test_a_changed_image_makes_all_dependent_outputs_outdated(workdir, same_time):
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
def test_a_damaged_or_missing_file_and_its_dependents_are_outdated(workdir, file, content, renewed):
    """Snakemake detects missing files itself, so only the outputs that depend on them are named."""
    (workdir / file).unlink()
    if content is not None:
        (workdir / file).write_text(content)
    assert set(reasons()) == renewed


@pytest.fixture(
    params=["truncated", "empty", "missing", "a list", "of another run", "other types", "a folder", "a pipe", "a loop"]
)
def damage(request):
    """Return a function that damages a file in the given way."""

    def damage_file(path: Path) -> None:
        text = path.read_text()
        path.unlink()
        contents = {"truncated": text[: len(text) // 2], "empty": "", "a list": "[]"}
        contents |= {
            "of another run": text.replace("1", "2"),
            "other types": json.dumps(dict.fromkeys(json.loads(text), 7)),
        }
        if request.param == "a folder":
            (path / "inner").mkdir(parents=True)
        elif request.param == "a pipe":
            os.mkfifo(path)
        elif request.param == "a loop":
            path.symlink_to(path.name)
        elif request.param in contents:
            path.write_text(contents[request.param])

    return damage_file


def test_a_damaged_score_makes_the_scores_of_its_run_outdated(workdir, damage):
    damage(workdir / "scores/params.json")
    assert reasons() == {"evaluate": f"{workdir}/scores/params.json is missing or damaged"}


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "{", "7", '"a"', "null", "[" * 100_000, '{"scored_sha256": 1, "code_sha256": "a", "files": {}}'],
)
def test_a_damaged_record_of_scores_makes_them_outdated(workdir, text):
    (workdir / "scores" / COMPLETE).write_text(text)
    assert reasons().keys() == {"evaluate"}


@pytest.mark.parametrize("files", [{}, [], None, {"params.json": 3}, {"params.json": None}, {"../run.json": "a"}])
def test_a_record_of_scores_lists_exactly_the_planned_metrics(workdir, files):
    path = workdir / "scores" / COMPLETE
    write_json(path, read_json(path) | {"files": files})
    assert reasons().keys() == {"evaluate"}


def edited(path: Path, **changes: object) -> None:
    """Change keys `section__key` of a JSON file, like a user's edit."""
    value = read_json(path)
    for key, change in changes.items():
        section, _, inner = key.partition("__")
        value[section] = value[section] | {inner: change} if inner else change
    path.write_text(json.dumps(value))


@pytest.mark.parametrize(
    "change", [{"threads": 3}, {"device": "cpu"}, {"precision": "bf16"}, {"log_every": 7}, {"compile": True}]
)
def test_compute_may_be_edited_manually(workdir, change):
    """The edited run is not trained yet, so the model belongs to the earlier description."""
    (workdir / "model.json").unlink()
    shutil.rmtree(workdir / "scores")
    edited(workdir / "run.json", **{f"compute__{key}": value for key, value in change.items()})
    assert reasons() == {}


def test_a_run_trained_with_edited_compute_is_current_before_and_after_the_edit(workdir):
    edited(workdir / "run.json", compute__threads=3)
    assert reasons() == {}, "edited after the training and the scoring"
    found = read_run(workdir / "run.json")
    edited(workdir / "model.json", run_sha256=found.hash)
    write_complete(workdir / "scores", found, read_json(workdir / "model.json"), (workdir / "scores").glob("*.json"))
    assert reasons() == {}, "edited before them"
    (workdir / FROZEN).unlink()  # as an earlier version froze it
    assert reasons() == {}
    edited(workdir / "run.json", compute__threads=4)
    assert reasons().keys() == {"train", "evaluate"}, "differs from the configuration and from run.json"


def test_a_kill_between_freezing_and_training_leaves_an_outdated_model(workdir, edit):
    """run.json follows the changed configuration, but the model does not yet."""
    edit("scales.yaml", "compute: {threads: 1, checkpoint_seconds: 60", "compute: {threads: 2, checkpoint_seconds: 60")
    assert set(reasons()) == {"freeze", "train", "evaluate"}
    write_frozen(workdir, load()[1])
    assert set(reasons()) == {"train", "evaluate"}


@pytest.mark.parametrize("edited_before", [False, True])
def test_changed_compute_in_the_configuration_makes_runs_outdated(workdir, edit, edited_before):
    if edited_before:
        edited(workdir / "run.json", compute__log_every=77)
    edit("scales.yaml", "checkpoint_seconds: 60, log_every: 2", "checkpoint_seconds: 60, log_every: 1")
    assert reasons() == {"freeze": f"{workdir}/run.json differs from the configuration in compute"}


@pytest.mark.parametrize(
    "change",
    [
        {"recipe__steps": 7},
        {"schema_version": 0},
        {"schema_version": 2},
        {"schema_version": "1"},
        {"later_key": 1},
        {"seed": 1},
        {"scale": "demo"},
        {"base": "fastgan-slim-4to64"},
        {"data__path": "elsewhere"},
        {"evaluation__metrics": []},
        {"evaluation": []},
        {"recipe": None},
        {"recipe__learning_rate": float("inf")},
        {"compute__threads": -1},
    ],
)
def test_a_description_that_differs_from_the_configuration_is_outdated(workdir, change):
    edited(workdir / "run.json", **change)
    assert reasons().keys() == {"freeze"}


@pytest.mark.parametrize("name", ["run.json", "model.json", f"scores/{COMPLETE}"])
def test_a_damaged_record_has_a_reason_or_is_missing(workdir, damage, name):
    """An error would end the whole workflow."""
    damage(workdir / name)
    rule = {"run.json": "freeze", "model.json": "train"}.get(name, "evaluate")
    assert (rule in reasons()) == (workdir / name).exists()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"run_sha256": "0" * 64}, "another configuration or version"),
        ({"run_sha256": None}, "another configuration or version"),
        ({"data_sha256": "0" * 64}, "trained on data that differ"),
        ({"status": "done"}, "model.json: status"),
        ({"status": None}, "model.json: status"),
        ({"training": []}, "model.json: training"),
        ({"training": {"seconds": "long"}}, "model.json: training.seconds"),
    ],
)
def test_the_record_of_another_run_is_outdated(workdir, change, reason):
    edited(workdir / "model.json", **change)
    assert reason in reasons()["train"] and "evaluate" in reasons()


@pytest.mark.parametrize("size", [0, 4, 40, -1])
def test_truncated_weights_are_retrained(workdir, size):
    path = workdir / "model.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    assert reasons()["train"] == f"{path} is missing or damaged"


def test_a_run_with_weights_of_another_format_is_retrained(workdir):
    (workdir / "model.safetensors").unlink()
    os.mkfifo(workdir / "model.safetensors")
    assert reasons().keys() == {"train", "evaluate"}


@pytest.mark.parametrize(
    "what", ["a missing array", "a truncated array", "a truncated manifest", "made_from a list", "another set"]
)
def test_damaged_or_replaced_prepared_data_are_outdated(workdir, what):
    _, run = load()
    folder = Path(run.data.path)
    array, manifest = folder / "images.npy", folder / "manifest.json"
    if what == "a missing array":
        array.unlink()
    elif what == "a truncated array":
        array.write_bytes(array.read_bytes()[:50])
    elif what == "a truncated manifest":
        manifest.write_text(manifest.read_text()[:90])
    elif what == "made_from a list":
        edited(manifest, made_from=[])
    else:
        edited(manifest, sha256="0" * 64)
    assert reasons().keys() == {"train", "evaluate"} | ({"prepare"} if what != "another set" else set())


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_a_damaged_receipt_is_a_reason(workdir, text):
    (Path("data/sources") / "cats.json").write_text(text)
    assert "fetch" in reasons()


def test_results_that_were_copied_follow_a_changed_configuration(workdir, edit, tmp_path):
    """The copy has no checkpoints, new modification times, and no records of Snakemake."""
    shutil.copytree(RESULTS, tmp_path / "copy", copy_function=shutil.copyfile)
    shutil.rmtree(RESULTS)
    shutil.copytree(tmp_path / "copy", RESULTS, copy_function=shutil.copyfile)
    assert reasons() == {}
    edit("scales.yaml", "steps: 6,", "steps: 7,")
    assert set(reasons()) == {"freeze", "train", "evaluate"}


def test_a_changed_configuration_is_noticed_without_records_of_snakemake(workdir, edit):
    edit("scales.yaml", "steps: 6,", "steps: 7,")
    assert set(reasons()) == {"freeze", "train", "evaluate"}
    assert "another configuration or version" in reasons()["train"]


def test_other_metrics_are_scored_without_training_again(workdir, edit):
    description = read_json(workdir / "run.json")
    description["evaluation"]["metrics"] = ["params"]
    write_json(workdir / "run.json", description)
    assert set(reasons()) == {"freeze"}
    _, run = load()
    model = read_json(workdir / "model.json")
    scored = run.model_copy(update={"evaluation": run.evaluation.model_copy(update={"metrics": ("params",)})})
    write_complete(workdir / "scores", scored, model, [workdir / "scores/params.json"])
    assert set(reasons()) == {"freeze", "evaluate"}


def test_a_table_is_outdated_if_scores_changed_or_it_is_damaged(workdir):
    plan, run = load()
    scale = RESULTS / "tiny"
    assert Outdated(plan).table("tiny", [run], False) is None, "missing is not outdated"
    collect(scale)
    assert Outdated(plan).table("tiny", [run], False) is None
    assert "contains other runs" in Outdated(plan).table("tiny", [run], True), "the option is part of the table"
    (scale / "scores.csv").write_text((scale / "scores.csv").read_text()[:200])
    assert "damaged" in Outdated(plan).table("tiny", [], False)
    collect(scale)
    write_json(workdir / "scores/params@best.json", score("params"))
    assert "contains other runs" in Outdated(plan).table("tiny", [run], False)


@pytest.mark.parametrize("text", ["", "[]", "{", "{}", "7", '{"made_from": []}', None])
def test_damaged_records_of_table_and_page_make_both_outdated(workdir, text):
    plan, run = load()
    scale = RESULTS / "tiny"
    collect(scale)
    write_text(scale / "report/index.html", "the page")
    write_json(scale / RENDERED, {"made_from": rendered_from(scale)})
    assert Outdated(plan).table("tiny", [run], False) is None
    assert Outdated(plan).page("tiny", "report/index.html") is None
    for name in (COLLECTED, RENDERED):
        (scale / name).unlink()
        if text is not None:
            (scale / name).write_text(text)
    assert Outdated(plan).table("tiny", [run], False)
    assert Outdated(plan).page("tiny", "report/index.html")


def test_a_damaged_score_makes_the_table_outdated(workdir, damage):
    plan, _ = load()
    collect(RESULTS / "tiny")
    damage(workdir / "scores/params.json")
    assert "contains other runs" in Outdated(plan).table("tiny", [], False)


def test_a_page_follows_table_claims_and_published_values(workdir):
    plan, _ = load()
    scale = RESULTS / "tiny"
    collect(scale)
    write_text(scale / "report/index.html", "the page")
    assert "have changed" in Outdated(plan).page("tiny", "report/index.html")


def test_a_dataset_with_results_keeps_its_source(workdir, project):
    image_folder(project / "dogs", count=4, size=(64, 64))
    with pytest.raises(InputError, match=r"cats: its results in results/tiny/runs/fastgan-sle/cats were computed from"):
        fetch("cats", folders={"cats": {"path": "dogs"}})
    assert read_json(Path("data/sources/cats.json"))["place"] == "cats"
    shutil.rmtree(RESULTS)
    fetch("cats", folders={"cats": {"path": "dogs"}})
    assert read_json(Path("data/sources/cats.json"))["place"] == "dogs"
