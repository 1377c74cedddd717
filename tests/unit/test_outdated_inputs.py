"""The inputs that make Snakemake renew outputs, and outputs that are missing after them."""

from types import SimpleNamespace

import pytest

from bench.outdated_inputs import (
    OUTDATED_REASONS,
    DatasetWildcards,
    PreparedWildcards,
    RunWildcards,
    SuiteWildcards,
)
from bench.paths import RESULTS
from bench.workflow import WorkflowPlan

RUN = RunWildcards("tiny", "singan", "photo-astronaut", "0")
PREPARED = PreparedWildcards("photo-astronaut", "full")
SUITE = SuiteWildcards("tiny", "oneshot")


class Scale(tuple):
    """Wildcards of the rules of a scale."""

    scale = "tiny"


@pytest.fixture
def plan(project, monkeypatch):
    """Return the plan of a project without outputs, in which run.json is outdated."""
    monkeypatch.chdir(project)
    made = WorkflowPlan.open({"scale": "tiny", "experiments": ["singan"]})
    made.targets("oneshot")
    made._workflow = SimpleNamespace(dag_settings=SimpleNamespace(targets={"oneshot"}), default_target="demo")
    monkeypatch.setattr(made.outdated, "description", lambda run: f"{run.name}: changed")
    return made


def noted(rule: str, *wildcards: str) -> str:
    return f"{OUTDATED_REASONS}/{'/'.join([rule, *wildcards])}.noted"


@pytest.mark.parametrize(
    ("rule", "wildcards"),
    [
        ("freeze", RUN),
        ("train", RUN),
        ("evaluate", RUN),
        ("finish", SUITE),
        ("collect", Scale(["tiny"])),
        ("render", Scale(["tiny"])),
    ],
)
def test_missing_outputs_follow_a_renewed_input(plan, rule, wildcards, capsys):
    assert plan.outdated_input(rule)(wildcards) == [noted("freeze", *RUN)]
    assert (OUTDATED_REASONS / "freeze/tiny/singan/photo-astronaut/0.reason").exists()
    assert capsys.readouterr().err.count("singan/photo-astronaut/seed0: changed") == 1
    assert plan.outdated_input(rule)(wildcards) == [noted("freeze", *RUN)]
    assert capsys.readouterr().err == "", "each reason is printed once"


@pytest.mark.parametrize(("rule", "wildcards"), [("prepare", PREPARED), ("fetch", DatasetWildcards("photo-astronaut"))])
def test_jobs_before_the_renewed_one_do_not_run(plan, rule, wildcards):
    assert plan.outdated_input(rule)(wildcards) == []


def test_an_existing_output_is_renewed_for_its_own_reason_only(plan, monkeypatch):
    folder = RESULTS / "tiny/runs/singan/photo-astronaut/seed0"
    folder.mkdir(parents=True)
    (folder / "model.json").write_text("{}")
    monkeypatch.setattr(plan.outdated, "model", lambda run: None)
    assert plan.outdated_input("train")(RUN) == [], "an edit of run.json need not change the model"
    assert plan.outdated_input("evaluate")(RUN) == [noted("freeze", *RUN)], "the scores are missing"


def test_every_renewed_input_is_named(plan, monkeypatch):
    monkeypatch.setattr(plan.outdated, "source", lambda name: "another archive")
    expected = {noted("freeze", *RUN), noted("fetch", "photo-astronaut")}
    assert set(plan.outdated_input("evaluate")(RUN)) == expected
    assert plan.outdated_input("prepare")(PREPARED) == [noted("fetch", "photo-astronaut")]
