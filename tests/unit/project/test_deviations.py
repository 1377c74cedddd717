"""docs/deviations.md agrees with the plan of the paper scale: no row is outdated or missing."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from bench.plan import Plan
from bench.run import Run
from tests.helpers import ROOT

PAGE = ROOT / "docs/deviations.md"
ROW = re.compile(r"\| (\S+) \| `(\S+)` \| `([^`]+)` \| (.+) \| (.+) \|")
SLOW = {"100-shot-panda", "ffhq-1k"}


def protocol(run: Run) -> dict[str, Any]:
    """Return the authors' confirmed values that are not defaults of a recipe."""
    if run.task != "fewshot":
        return {}
    large = run.data.image_size == 1024
    return {"recipe.steps": 75000 if large else 70000} | ({"recipe.learning_rate": 1e-4} if run.dataset in SLOW else {})


def rows() -> list[tuple[str, str, Any]]:
    found = [ROW.fullmatch(line) for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    return [(match[1], match[2], json.loads(match[3])) for match in found if match]


@pytest.fixture(scope="module")
def plan():
    return Plan.load()


@pytest.fixture(scope="module")
def runs(plan):
    return plan.runs("paper", "paper")


def values(run: Run) -> Iterator[tuple[str, Any, bool]]:
    """Return (key, value, whether it is the model's default) of the keys in which protocols can differ."""
    for section in ("recipe", "evaluation", "compute"):
        part = getattr(run, section)
        for key, field in type(part).model_fields.items():
            extra = field.json_schema_extra or {}
            if "mark" in extra and "operational" not in extra:
                value = getattr(part, key)
                yield f"{section}.{key}", value, not field.is_required() and value == field.default


def test_every_line_of_the_table_is_read():
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    assert len(rows()) == len(lines) - 1 >= 9, "all rows except the header"


@pytest.mark.parametrize(("kind", "key", "value"), rows(), ids=str)
def test_a_row_equals_the_plan(plan, runs, kind, key, value):
    chosen = [run for run in runs if kind in ("all", run.task, run.dataset)]
    assert chosen
    if key == "seeds":
        assert list(plan.configuration.scales["paper"].seeds) == value
        return
    assert {json.dumps({name: found for name, found, _ in values(run)}[key]) for run in chosen} == {json.dumps(value)}


def test_the_page_lists_every_deviation_from_the_paper(runs):
    listed = {(kind, key) for kind, key, _ in rows()}
    for run in runs:
        confirmed = protocol(run)
        for key, value, is_default in values(run):
            if key in confirmed:
                assert value == confirmed[key], f"{run.name}: {key}"
            elif not is_default:
                assert {("all", key), (run.task, key)} & listed, f"{run.name}: {key} = {value}: add it to {PAGE.name}"


def test_an_unlisted_deviation_is_found(runs):
    """Checks this test with a recipe of another length and a key that the page does not name."""
    for change in ({"steps": 60000}, {"ema_decay": 0.99}):
        run = next(run for run in runs if run.task == "fewshot")
        other = run.model_copy(update={"recipe": run.recipe.model_copy(update=change)})
        with pytest.raises(AssertionError, match=next(iter(change))):
            test_the_page_lists_every_deviation_from_the_paper([other])
