"""collect, report, models: from scores to tables, figures and the page; and the networks there are."""

import argparse
from collections.abc import Callable
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
        "gather every score that exists into results/SCALE/scores.csv",
        "One row per run, metric and weights; failed and missing scores are rows too. Also rewrites metrics.json,\n"
        "which `dvc metrics diff` compares with the last commit.",
    )
    _add_scale(parser)
    parser.add_argument(
        "--allow-mixed-code", action="store_true", help="paper scale: runs of different code in a table"
    )
    parser = add_command(
        commands,
        "report",
        report,
        "make tables, figures and results/SCALE/report/index.html from what was collected",
        "The page needs no network and no other file. Every number in it leads to its run, protocol and command.",
    )
    _add_scale(parser)
    add_command(
        commands,
        "models",
        models,
        "list the networks: name, task, parameters, MACs, source",
        "Counts are of the constructor's default arguments (SinGAN: a 250 px image).",
    )


def _add_scale(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scale", default="demo", help="whose results (default: demo)")


def collect(arguments: argparse.Namespace) -> None:
    from bench.report.read.collect import collect

    collect(_scale_folder(arguments), allow_mixed_code=arguments.allow_mixed_code)


def report(arguments: argparse.Namespace) -> None:
    from bench.report.page import render

    page = render(_scale_folder(arguments))
    print(f"report: {page}")


def _scale_folder(arguments: argparse.Namespace) -> Any:
    folder = RESULTS / valid_name(arguments.scale, "--scale")
    if not folder.is_dir():
        known = [path.parent.name for path in RESULTS.glob(f"*/{RUNS}")]
        hint = did_you_mean(arguments.scale, known)
        raise InputError(f"{folder}: no such folder: nothing has run at scale {arguments.scale} yet{hint}")
    return folder


def models(_: argparse.Namespace) -> None:
    from bench.metrics.complexity import multiply_accumulates, parameter_count
    from bench.registry import MODELS, create_model

    for name, entry in MODELS.items():
        model = create_model(name).eval()
        parameters, macs = parameter_count(model), multiply_accumulates(_one_call(name, model))
        print(f"{name:<23}{entry.task:<16}{parameters:>11,} parameters{macs / 1e9:>9.3f} GMACs  {entry.source}")


def _one_call(name: str, model: Any) -> Callable[[], Any]:
    """A generator makes one image, a discriminator or classifier reads one."""
    import torch

    if hasattr(model, "sample"):
        return lambda: model.sample(1)
    if hasattr(model, "latent_dim"):
        return lambda: model(torch.zeros(1, model.latent_dim))
    if name == "fastgan-discriminator":
        return lambda: model(torch.zeros(1, 3, 256, 256), torch.zeros(1, 3, 128, 128))
    side = 32 if model.layout.stem == "small" else 224
    return lambda: model(torch.zeros(1, model.layout.in_channels, side, side))
