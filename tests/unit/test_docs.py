"""What README.md and docs/ say can be done: links lead somewhere, commands and targets exist, lines of Python run."""

import re
import shlex
import textwrap
from pathlib import Path

import pytest
from snakemake.cli import get_argument_parser

from bench.cli import build_parser
from bench.plan import Plan

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
RULES = {"report"}


def code(page: Path) -> list[str]:
    """Indented or fenced lines, and what stands between backticks."""
    text = page.read_text()
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return re.findall(r"^(?: {4,}|```\n)(\S.*)$", text, re.MULTILINE) + fenced(text) + spans


def fenced(text: str) -> list[str]:
    return [line for block in re.findall(r"```\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]


def commands(program: str) -> list[list[str]]:
    lines = [re.sub(r"^(?:[A-Z_]+=\S* )+", "", line) for page in PAGES for line in code(page)]
    found = [line for line in lines if line.startswith(f"{program} ")]
    return [shlex.split(line, comments=True)[1:] for line in dict.fromkeys(found)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)", page.read_text())
    assert not [link for link in links if not link.startswith("http") and not (page.parent / link).exists()]


@pytest.mark.parametrize("arguments", commands("slim-bench"), ids=" ".join)
def test_commands_are_understood(arguments):
    assert build_parser().parse_args(arguments).function


def test_commands_under_torchrun_are_understood():
    lines = [arguments[arguments.index("bench.cli") + 1 :] for arguments in commands("torchrun")]
    assert len(lines) == 2 and all(build_parser().parse_args(line).function for line in lines)


def test_targets_exist():
    made = {target for arguments in commands("make") for target in arguments if "=" not in target}
    assert made and made <= set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    plan, parser = Plan.load(), get_argument_parser()
    planned = {target for arguments in commands("snakemake") for target in parser.parse_args(arguments).targets}
    assert {"paper", "ablations", "report", "own"} <= planned <= {*plan.suites, *RULES}


@pytest.mark.parametrize("arguments", commands("snakemake"), ids=" ".join)
def test_a_target_is_not_swallowed_by_an_option(arguments):
    """`--resources gpu=4 paper` takes paper for a resource."""
    assert get_argument_parser().parse_args(arguments).targets or {"--report", "--config"} & {*arguments}


def test_the_tutorials_progress_is_the_demos():
    (total,) = re.findall(r"step \d+/(\d+)", (ROOT / "docs/tutorial.md").read_text())
    assert {int(total)} == {run.recipe.steps for run in Plan.load().runs("fewshot")}


def test_the_lines_of_python_run():
    (block,) = re.findall(r"^    from slim import .*\n(?:\n|    .*\n)*", (ROOT / "README.md").read_text(), re.MULTILINE)
    names: dict[str, object] = {}
    exec(textwrap.dedent(block), names)
    assert {"gate", "conv"} <= names.keys()
