"""Each module of commands adds its commands, and every command has a handler and a help text."""

import argparse
from types import ModuleType

import pytest

from bench.commands import data, datasets, inference, planning, reporting, running

COMMANDS = {
    data: {"fetch", "audit", "prepare"},
    datasets: {"data"},
    inference: {"sample", "classify"},
    planning: {"plan", "status", "freeze"},
    reporting: {"collect", "report", "verify", "models"},
    running: {"train", "evaluate"},
}


@pytest.mark.parametrize("module", COMMANDS, ids=lambda module: module.__name__)
def test_a_module_adds_its_commands(module: ModuleType) -> None:
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers()
    module.add_commands(commands)
    assert commands.choices.keys() >= COMMANDS[module]
    for name, command in commands.choices.items():
        assert callable(command.get_default("function")), name
        assert command.description and command.description[0].isupper(), name
