"""Runs every command of README.md and docs/, page by page, in a project where the tiny suite has run.

RULES defines how a line is run, unchanged or in a smaller form with the same words, with the reason. A line that
neither RULES nor NO_COMMANDS contains fails the test. Add it to one of them.
"""

import re
import shlex
import sys
import sysconfig
import textwrap
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image
from snakemake.cli import get_argument_parser

from bench.cli import EPILOG, build_parser
from bench.plan import Plan
from tests.helpers.command_runner import CommandRunner
from tests.helpers.documentation import PAGES, ROOT, Line, add_method, lines, python_blocks
from tests.helpers.executors import stand_in_executor


@dataclass(frozen=True)
class Rule:
    """A line that matches `pattern` is run as `form` (None: see `parsed`) and must exit with `code`."""

    pattern: str
    form: str | None = r"\g<0>"
    why: str = "as printed"
    code: int = 0
    says: str = ""


RULES = [
    Rule(r"make(?: [a-z-]+)?(?: TORCH_BACKEND=cpu)?", r"\g<0> --dry-run", "hours of work"),
    Rule(r"source \.venv/bin/activate"),
    Rule(r"\.venv/bin/uv pip install .*", r"\g<0> --help", "packages come from the network; options are checked first"),
    Rule(r"\.venv/bin/uv build --wheel", r"\g<0> --help", "test_wheel.py builds the wheel"),
    Rule(r"pytest (\S+)", r"ls \1/test_*.py", "a part of `make test`"),
    Rule(r"(?:PYTHONPATH=\S+ )?python -m benchmarks\.gpu_proof.*", "python -m benchmarks.gpu_proof --help", "a GPU"),
    Rule(r"(?:python -m )?pip .*", "python -m pip --help", "packages come from the network"),
    Rule(r"docker build --file (\S+) .*", r"ls \1", "an image of several GB; its packages come from the network"),
    Rule(r"python -m benchmarks reference demo", r"\g<0> --help", "the demo several times"),
    Rule(r"python -m benchmarks (.*)", r"for name in \1; do ls benchmarks/bench_$name.py || exit; done", "minutes"),
    Rule(r"python (tools/\S+\.py)", r"ls \1", "draws a figure of the documentation"),
    Rule(r"torchrun .*", None, "several GPUs; test_distributed.py trains in several processes"),
    Rule(r"snakemake --report(?: demo\.html)?", None, "needs a finished demo; test_tiny.py makes the tiny suite's"),
    Rule(r"snakemake (claim-classification|claim-lightweight)", r"snakemake --dry-run \1", "no dataset is available", 1,
         "no run can start before the data listed above are installed"),
    Rule(r"snakemake(?: -n)?\b(.*)", r"snakemake --dry-run\1", "up to months of training; test_tiny.py runs a suite"),
    Rule(r"dvc remote add --local lab /shared/dvc", r"dvc remote add --local lab ../shared", "a folder of the user"),
    Rule(r"dvc add (\S+).*", r"touch \1 && \g<0> && rm \1*", "this archive is not available"),
    Rule(r"dvc (push|pull|status).*", r"dvc \1 --help", "test_dvc_cache.py pushes and pulls; files are missing"),
    Rule(r"dvc", r"dvc --help", "the program by its name"),
    Rule(r"dvc .*"),
    Rule(r"git add (\S+) && git commit", r"ls \1", "the project of the test is not a repository"),
    Rule(r"slim-bench (freeze|evaluate)", r"\g<0> --help", "a command by its name"),
    Rule(r"slim-bench freeze (.*)", r"\g<0> --scale tiny", "the demo's training takes a minute"),
    Rule(r"slim-bench data show NAME", "slim-bench data show shells", "any dataset"),
    Rule(r"slim-bench data fetch (100-shot-obama|--suite) .*", code=2, says="SLIM_BENCH_OFFLINE", why="no network"),
    Rule(r"slim-bench data (fetch NAME\.\.\.|fetch)", "slim-bench data fetch fluent-emoji-100", "a shipped dataset"),
    Rule(r"slim-bench data pin NAME --replace", "slim-bench data pin fluent-emoji-100 --replace", "any dataset"),
    Rule(r"slim-bench fetch (.*) HEX", rf"slim-bench fetch \1 {64 * '0'}", "no network", 2, "SLIM_BENCH_OFFLINE"),
    Rule(r"slim-bench fetch (100-shot-obama|inception|vgg16).*", code=2, says="SLIM_BENCH_OFFLINE", why="no network"),
    Rule(r"slim-bench fetch NAME", "slim-bench fetch shells", "prints place and origin", 2, "data/sources/shells"),
    Rule(r"(slim-bench plan .*) --measure", r"\1", "up to ten minutes of measurements"),
    Rule(r"slim-bench verify( --scale demo)?", code=2, says="run `snakemake demo` first", why="no demo has run"),
    Rule(r"slim-bench bundle", r"\g<0> --scale tiny", "no demo has run"),
    Rule(r"slim-bench bundle --check slim-bench-demo\.zip", "slim-bench bundle --check slim-bench-tiny.zip", "same"),
    Rule(r"slim-bench compare results/demo benchmarks/reference/demo\.json",
         "slim-bench compare results/tiny benchmarks/reference/tiny.json", "no demo has run"),
    Rule(r"slim-bench compare results/demo OTHER/results/demo (.*)",
         r"slim-bench compare results/tiny results/tiny \1", "no demo has run"),
    Rule(r"slim-bench (collect|report) --scale demo", r"slim-bench \1 --scale tiny", "no demo has run"),
    Rule(r"slim-bench (.*)results/demo/runs/(.*)/fashion-mnist/(.*)",
         r"slim-bench \1results/tiny/runs/\2/fashion-mnist-tiny/\3", "the tiny suite ran instead of the demo"),
    Rule(r"slim-bench (.*)results/demo/runs/(.*)", r"slim-bench \1results/tiny/runs/\2", "as above"),
    Rule(r"slim-bench", r"\g<0> --help", "the command by its name"),
    Rule(r"slim-bench .*"),
]  # fmt: skip
NO_COMMANDS = {
    "YAML": r"(- )?([a-z-]+:( .*)?|\{.*\})",
    "a job's progress": r"\[[\w/-]+\] step .*",
    "a folder and its content": r"results/\S+/|[\w./]+ {2,}.*",
    "a protocol id and its parts": r"\w+(/[\w.-]+){5,}",
}
DEMO_RUN = r"results/demo/runs/([a-z0-9-]+)/([a-z0-9-]+)/seed(\d+)"


def pictures(folder: Path, count: int = 6, side: int = 256) -> None:
    folder.mkdir()
    for index in range(count):
        Image.radial_gradient("L").rotate(17 * index).resize((side, side)).convert("RGB").save(folder / f"{index}.png")


def environment(folder: Path) -> None:
    """Environment with the packages of the running one, which documented commands cannot change."""
    venv.create(folder)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "packages.pth").write_text(sysconfig.get_path("purelib"))
    (folder / "bin/uv").symlink_to(Path(sys.executable).with_name("uv"))


@pytest.fixture(scope="module")
def runner(tiny, tmp_path_factory):
    """Create the prerequisites of the pages: an environment, the user's images under the documented names, a method."""
    project, home = tiny[0].path, tmp_path_factory.mktemp("home")
    environment(project / ".venv")
    for folder in ("PATH", "GENERATED", "REAL", "my-images", "real-images"):
        pictures(project / folder)
    pictures(home / "cats")
    Image.linear_gradient("L").resize((28, 28)).save(project / "shirt.png")
    add_method(project)
    stand_in_executor(home, "slurm")
    runner = CommandRunner(project, home)
    yield runner
    runner.close()


def rule_of(line: Line) -> Rule:
    found = next((rule for rule in RULES if re.fullmatch(rule.pattern, line.command)), None)
    assert found, f"{line.place}: no rule for running {line.text!r}"
    return found


def is_command(line: Line) -> bool:
    return not any(re.fullmatch(pattern, line.text) for pattern in NO_COMMANDS.values())


def parsed(command: str) -> bool:
    words = shlex.split(command)
    if words[0] == "torchrun":
        from torch.distributed.run import get_args_parser

        given = get_args_parser().parse_args(words[1:])
        assert (given.module, given.training_script) == (True, "bench.cli")
        return build_parser().parse_args(given.training_script_args).command == "train"
    return get_argument_parser().parse_args(words[1:]) is not None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_works(runner, page):
    failed = []
    for line in filter(is_command, lines(page)):
        rule = rule_of(line)
        if rule.form is None:
            assert parsed(line.command), line.place
            continue
        outcome = runner.run(re.sub(rule.pattern, rule.form, line.command), line.environment)
        if outcome.code != rule.code or rule.says not in outcome.output:
            failed.append(f"{line.place}: {line.text}\nends with {outcome.code}\n{outcome.output[-2000:]}")
    assert not failed, "\n\n".join(failed)
    for block in python_blocks(page):
        exec(compile(textwrap.dedent(block), str(page), "exec"), {})


def test_the_commands_of_a_model_card_work_in_its_folder(runner, tiny):
    (folder,) = (tiny[0].path / "results/tiny/runs").glob("resnet14-slim-w16/*/seed0")
    Image.linear_gradient("L").save(folder / "image.png")
    found = re.findall(r"`(slim-bench [^`]*)`", (folder / "README.md").read_text().partition("Use the model")[2])
    assert [line.split()[1] for line in found] == ["classify", "train"]
    for line in found:
        outcome = runner.run(line, folder=str(folder))
        assert outcome.code == 0, outcome.output[-2000:]
    assert (folder / "DIR/model.json").exists()


def test_the_commands_of_the_help_are_parsed():
    for line in re.findall(r"^  slim-bench (.*)", EPILOG, re.MULTILINE):
        assert build_parser().parse_args(shlex.split(line)).function
    assert EPILOG.count("  slim-bench ") > 3


def test_every_rule_is_needed():
    found = [line for page in PAGES for line in lines(page)]
    used = {rule_of(line).pattern for line in filter(is_command, found)}
    assert used == {rule.pattern for rule in RULES}
    for name, pattern in NO_COMMANDS.items():
        assert any(re.fullmatch(pattern, line.text) for line in found), name


def test_an_unknown_line_needs_a_rule():
    line = Line(PAGES[0], 1, "docker run slim-bench")
    assert is_command(line)
    with pytest.raises(AssertionError, match=r"README\.md:1: no rule for running 'docker run"):
        rule_of(line)


def test_runs_of_the_demo_that_are_named_are_planned():
    planned = {run.name for run in Plan.load(root=ROOT).runs("demo", "demo")}
    named = {match for page in PAGES for match in re.findall(DEMO_RUN, page.read_text())}
    assert named and {f"{experiment}/{dataset}/seed{seed}" for experiment, dataset, seed in named} <= planned
