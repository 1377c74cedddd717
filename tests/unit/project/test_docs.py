"""Links, commands and targets in README.md and docs/ are valid. tests/workflow runs the commands."""

import re
import tomllib

import pytest
from snakemake.cli import get_argument_parser

from bench.cli import build_parser
from bench.plan import Plan
from tests.helpers.documentation import PAGES, ROOT, commands

RULES = {"report"}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_links_have_targets(page):
    links = re.findall(r"\]\(([^)#]+)", page.read_text())
    assert not [link for link in links if not link.startswith("http") and not (page.parent / link).exists()]


@pytest.mark.parametrize("arguments", [words for words in commands("slim-bench") if words != ["freeze"]], ids=" ".join)
def test_supported_commands_are_parsed(arguments):
    assert build_parser().parse_args(arguments).function


def test_commands_with_torchrun_are_parsed():
    lines = [arguments[arguments.index("bench.cli") + 1 :] for arguments in commands("torchrun")]
    assert len(lines) == 2 and all(build_parser().parse_args(line).function for line in lines)


def test_targets_exist():
    made = {target for arguments in commands("make") for target in arguments if "=" not in target}
    assert made and made <= set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    plan, parser = Plan.load(), get_argument_parser()
    planned = {target for arguments in commands("snakemake") for target in parser.parse_args(arguments).targets}
    assert {"paper", "ablations", "report", "own"} <= planned <= {*plan.suites, *RULES}


@pytest.mark.parametrize("arguments", commands("snakemake"), ids=" ".join)
def test_an_option_does_not_consume_the_target(arguments):
    """`--resources gpu=4 paper` would parse paper as a resource."""
    assert get_argument_parser().parse_args(arguments).targets or {"--report", "--config"} & {*arguments}


def test_the_tutorial_shows_the_number_of_steps_of_the_demo():
    (total,) = re.findall(r"step \d+/(\d+)", (ROOT / "docs/tutorial.md").read_text())
    assert {int(total)} == {run.recipe.steps for run in Plan.load().runs("fewshot")}


def test_documented_extras_exist():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {name for page in PAGES for name in re.findall(r"--editable '\.\[(\w+)\]'", page.read_text())}
    assert {"slurm", "tensorboard"} <= named <= declared.keys()
