"""Commands collect, report, verify and models: collect scores, render the report, verify scores, list networks."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.commands.common import add_command
from bench.errors import InputError, did_you_mean
from bench.paths import RESULTS, RUNS
from bench.schema import valid_name


def add_commands(commands: Any) -> None:
    parser = add_command(
        commands,
        "collect",
        collect,
        "collect all scores in results/SCALE/scores.csv",
        "The table has one row per run, metric and weights, including failed and missing scores. The command also\n"
        "updates metrics.json, which `dvc metrics diff` compares with the last commit.",
    )
    add_scale(parser)
    parser.add_argument(
        "--allow-mixed-code",
        action="store_true",
        help="paper scale: allow runs of different code versions in one table",
    )
    parser = add_command(
        commands,
        "report",
        report,
        "render tables, figures and results/SCALE/report/index.html from the collected scores",
        "The page is a single file and works offline. Every score is shown with its protocol, and links to its run.",
    )
    add_scale(parser)
    parser = add_command(
        commands,
        "verify",
        verify,
        "compare the collected scores with the reference results of their scale",
        "Reports each score as within the tolerance of benchmarks/reference/SCALE.json, outside it, or missing. At\n"
        "demo scale the command also prints the acceptance criteria. The exit code is 0 if scores and reference\n"
        "can be read, even if scores are outside the tolerance.",
    )
    add_scale(parser)
    add_command(
        commands,
        "models",
        models,
        "list the networks: name, task, parameters, MACs, source",
        "Counts are for the default arguments of each network (SinGAN: a 250 px image).",
    )


def add_scale(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scale", default="demo", help="scale of the results (default: demo)")


def collect(arguments: argparse.Namespace) -> None:
    from bench.report.read.collect import collect

    collect(scale_folder(arguments), allow_mixed_code=arguments.allow_mixed_code)


def report(arguments: argparse.Namespace) -> None:
    from bench.report.page import render

    page = render(scale_folder(arguments))
    print(f"report: {page}")


def verify(arguments: argparse.Namespace) -> None:
    from bench.report.verify import print_verification

    print_verification(scale_folder(arguments))


def scale_folder(arguments: argparse.Namespace) -> Any:
    folder = RESULTS / valid_name(arguments.scale, "--scale")
    if not folder.is_dir():
        known = [path.parent.name for path in RESULTS.glob(f"*/{RUNS}")]
        planned = Path(f"config/suites/{arguments.scale}.yaml").is_file()
        hint = f"; run `snakemake {arguments.scale}` first" if planned else did_you_mean(arguments.scale, known)
        raise InputError(f"{folder}: no such folder; there are no results at scale {arguments.scale} yet{hint}")
    return folder


def models(_: argparse.Namespace) -> None:
    from bench.metrics.complexity import multiply_accumulates, parameter_count
    from bench.registry import MODELS, create_model

    for name, entry in MODELS.items():
        model = create_model(name).eval()
        parameters, macs = parameter_count(model), multiply_accumulates(_one_call(name, model))
        print(f"{name:<23}{entry.task:<16}{parameters:>11,} parameters{macs / 1e9:>9.3f} GMACs  {entry.source}")


def _one_call(name: str, model: Any) -> Callable[[], Any]:
    """Return a function that generates one image, or evaluates a discriminator or classifier on one image."""
    import torch

    if hasattr(model, "sample"):
        return lambda: model.sample(1)
    if hasattr(model, "latent_dim"):
        return lambda: model(torch.zeros(1, model.latent_dim))
    if name == "fastgan-discriminator":
        return lambda: model(torch.zeros(1, 3, 256, 256), torch.zeros(1, 3, 128, 128))
    side = 32 if model.layout.stem == "small" else 224
    return lambda: model(torch.zeros(1, model.layout.in_channels, side, side))
