"""The run hash covers all keys that change the result of training, and no others."""

import copy
import json

import pytest
from pydantic import Field

from bench import run as runs
from bench.defaults import check_defaults, present_defaults, record_defaults
from bench.errors import InputError
from bench.files import read_json, write_json
from bench.input_hashes import scored_sha256
from bench.plan import Plan
from bench.run import SCHEMA_VERSION, ClassificationRecipe, Evaluation, Run, recorded_defaults, training_hash
from bench.schema import parse_strict

PINNED = {
    ("tiny", "fastgan-slim-4to64", "fluent-emoji-100", 0): (
        "7308fdfd137df418ac3ee4bf0ba228cf73d973572e0492e9cedd82055f73a4d1"
    ),
    ("demo", "singan", "photo-astronaut", 1): ("5bfc40d1fbed349e2f660793464e25dc68ce25a43830a8c12bbdb507831388cd"),
    ("paper", "resnet50-slim", "imagenet", 4): ("79d022be8353a58eb7779bebeb2286b0038c08ca49de322997c1c922c55d12b1"),
}
CHANGES = {
    "seed": 7,
    "recipe.epochs": 7,
    "recipe.batch_size": 7,
    "recipe.ema_decay": 0.5,
    "recipe.holdout": 7,
    "model.args": {"blocks": [1], "width": 16},
    "model.name": "resnext",
    "data.image_size": 28,
    "data.path": "elsewhere",
    "compute.precision": "bf16",
    "compute.compile": True,
    "compute.threads": 7,
    "compute.device": "cpu",
    "compute.cuda_graphs": True,
}
STEERING = {
    "compute.checkpoint_seconds": 7.0,
    "compute.log_every": 7,
    "evaluation.batch_size": 7,
    "evaluation.metrics": ["params"],
}


@pytest.fixture(scope="module")
def plan():
    return Plan.load()


@pytest.fixture
def described(plan):
    return plan.run("demo", "resnet14-slim-w16", "fashion-mnist", 0).model_dump(mode="json")


def changed(description, key, value):
    description = copy.deepcopy(description)
    *parents, last = key.split(".")
    inner = description
    for parent in parents:
        inner = inner[parent]
    inner[last] = value
    return description


def without(description, section, key):
    description = copy.deepcopy(description)
    del description[section][key]
    return description


@pytest.mark.parametrize("key", PINNED, ids=str)
def test_run_hashes_are_stable(plan, key):
    """A changed hash makes every finished run outdated, so it needs an entry in CHANGELOG.md."""
    assert plan.run(*key).hash == PINNED[key]


@pytest.mark.parametrize("key", CHANGES)
def test_keys_that_change_the_result_change_the_hash(described, key):
    other = changed(described, key, CHANGES[key])
    assert training_hash(other) != training_hash(described)
    assert parse_strict(Run, other, "run.json").hash == training_hash(other)


@pytest.mark.parametrize("key", STEERING)
def test_operational_keys_do_not_change_the_hash(described, key):
    other = changed(described, key, STEERING[key])
    assert training_hash(other) == training_hash(described)
    assert parse_strict(Run, other, "run.json").hash == training_hash(other)


def test_sample_grids_during_training_change_no_result(plan):
    described = plan.run("demo", "fastgan-sle", "fluent-emoji-100", 0).model_dump(mode="json")
    assert training_hash(changed(described, "recipe.strips", 2)) == training_hash(described)
    assert training_hash(changed(described, "recipe.snapshots", 2)) != training_hash(described), (
        "the best weights differ"
    )


def test_a_missing_key_has_its_default(described):
    """A run.json of an earlier version lacks keys that were added later."""
    for section in ("recipe", "compute", "data"):
        for key in set(described[section]) & set(recorded_defaults(SCHEMA_VERSION)[section]):
            if described[section][key] == recorded_defaults(SCHEMA_VERSION)[section][key]:
                assert training_hash(without(described, section, key)) == training_hash(described), key
    assert training_hash(without(described, "recipe", "momentum")) == training_hash(described)
    explicit = changed(described, "model.args", described["model"]["args"] | {"slim_groups": 4})
    assert training_hash(explicit) == training_hash(described), "the default of the network, given or not"


def test_equal_numbers_give_the_same_run(described):
    """`learning_rate: 1` in run.json is read as 1.0."""
    typed = changed(described, "recipe.learning_rate", 1)
    assert parse_strict(Run, typed, "run.json").hash == training_hash(typed)


def recipe_with(monkeypatch, **fields):
    """Return the classification recipe of another version of this code."""
    bases = {"__annotations__": {name: kind for name, (kind, _) in fields.items()}}
    other = type("ClassificationRecipe", (ClassificationRecipe,), {n: d for n, (_, d) in fields.items()} | bases)
    monkeypatch.setitem(runs.RECIPES, "classification", other)
    return other


def read_by(recipe, values):
    return recipe.model_validate_json(json.dumps(values)).model_dump(mode="json")


def test_a_key_added_later_with_its_default_does_not_change_the_hash(described, monkeypatch):
    before = training_hash(described)
    recipe = recipe_with(monkeypatch, later=(float, Field(0.25)))
    resolved = described | {"recipe": read_by(recipe, described["recipe"])}
    assert resolved["recipe"]["later"] == 0.25
    assert training_hash(resolved) == before
    assert training_hash(changed(resolved, "recipe.later", 0.5)) != before
    with pytest.raises(AssertionError):
        test_the_recorded_defaults_are_those_of_the_models()


def test_a_changed_default_changes_the_hash_of_the_runs_that_rely_on_it(described, monkeypatch):
    relying = without(described, "recipe", "momentum")
    before = training_hash(relying)
    recipe = recipe_with(monkeypatch, momentum=(float, Field(0.5)))
    resolved = relying | {"recipe": read_by(recipe, relying["recipe"])}
    assert training_hash(resolved) != before
    assert training_hash(changed(described, "recipe.momentum", 0.9)) == before, "an explicit 0.9 stays 0.9"
    with pytest.raises(InputError, match=r"recipe.classification.momentum: the default 0.9 is now 0.5; raise SCHEMA_"):
        test_the_recorded_defaults_are_those_of_the_models()


def test_the_recorded_defaults_are_those_of_the_models():
    """`slim-bench schema` records a new key. A new default needs a new schema_version."""
    assert check_defaults(present_defaults(), recorded_defaults(SCHEMA_VERSION)) == []


def test_recording_adds_new_keys_and_refuses_new_defaults(tmp_path, monkeypatch):
    file = tmp_path / "defaults.json"
    monkeypatch.setattr("bench.defaults.defaults_file", lambda version: file)
    monkeypatch.setattr("bench.defaults.recorded_defaults", lambda version: read_json(file))
    older = present_defaults()
    del older["compute"]["cuda_graphs"], older["model"]["resnet50"]
    write_json(file, older)
    record_defaults()
    assert read_json(file) == present_defaults()
    older["recipe"]["fewshot"]["batch_size"] = 9
    write_json(file, older)
    with pytest.raises(InputError, match=r"recipe.fewshot.batch_size: the default 9 is now 8"):
        record_defaults()
    older["recipe"]["fewshot"] = {"gone": 1}
    with pytest.raises(InputError, match=r"recipe.fewshot.gone: the default 1 was removed"):
        check_defaults(present_defaults(), older)


def test_the_hash_of_scores_covers_the_evaluation(plan):
    run = plan.run("demo", "resnet14-slim-w16", "fashion-mnist", 0)
    requested = run.model_copy(update={"evaluation": Evaluation(metrics=run.evaluation.metrics, latent_seed=3)})
    assert scored_sha256(run.hash, requested.evaluation, "m", "d") != scored_sha256(run.hash, run.evaluation, "m", "d")


def test_a_schema_version_without_recorded_defaults_has_a_hash(described):
    assert training_hash(described | {"schema_version": 99}) != training_hash(described)
