"""Follows docs/how-to/add-a-method.md literally in a separate project: the file, the entry, the commands."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from safetensors import safe_open

from bench.config import Configuration
from bench.errors import InputError
from tests.helpers import ROOT
from tests.helpers.documentation import METHOD_PAGE, add_method, fenced_block, lines
from tests.helpers.project import TORCHLESS
from tests.helpers.tiny import write_images


def run(project: Path, *words: str, search: str = "") -> subprocess.CompletedProcess:
    """Run a command line in the project's folder.

    An installed slim-bench would not find the code in this folder by itself.
    """
    environment = os.environ | {"PYTHONPATH": f"{search}{ROOT}", "PYTHONSAFEPATH": "1", "SLIM_BENCH_OFFLINE": "1"}
    command = [sys.executable, "-m", "bench.cli", *words]
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)


@pytest.fixture
def own(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Create the project after the first two steps of the page."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    add_method(project)
    return project


def record(path: Path) -> dict:
    return json.loads(path.read_text())


def test_the_commands_of_the_page_succeed(own, tmp_path):
    """Uses tiny scale and few images in place of the demo of the page."""
    write_images(own / "data/prepared/fluent-emoji-100-64", 20, 64, "fewshot")
    commands = [shlex.split(line.command) for line in lines(METHOD_PAGE) if line.command.startswith("slim-bench ")]
    assert [words[1] for words in commands] == ["freeze", "train", "evaluate"]
    commands[0] += ["--scale", "tiny"]
    for words in commands:
        done = run(own, *words[1:])
        assert done.returncode == 0, done.stdout + done.stderr
    out = own / "my/plain"
    meta, scores = record(out / "model.json"), [record(path) for path in (out / "scores").glob("*.json")]
    assert meta["status"] == "ok" and meta["model"]["name"] == "my_gates:PlainGate"
    assert meta["model"]["args"]["hidden"] == 16 and meta["model"]["args"]["spectral_norm"] is False
    assert {"fd_efflite0", "params", "macs"} <= {score["metric"] for score in scores}
    assert {score["status"] for score in scores} == {"ok"}
    with safe_open(out / "model.safetensors", "pt") as file:
        assert json.loads(file.metadata()["model"]) == meta["model"]
        assert any(name.startswith("gates.64.expand") for name in file.keys())  # noqa: SIM118 - not a mapping
    assert run(own, "sample", "--model", "my/plain", "-n", "4", "--seed", "0", "--out", "grid.png").returncode == 0
    elsewhere = run(tmp_path.parent, "sample", "--model", str(out), "-n", "4", "--seed", "0", "--out", "grid.png")
    assert (elsewhere.returncode == 2 and "no module 'my_gates'" in elsewhere.stderr) or "lists it" in elsewhere.stderr


def without_torch(folder: Path) -> str:
    (folder / "torchless").mkdir()
    (folder / "torchless/torch.py").write_text(TORCHLESS)
    return f"{folder / 'torchless'}:"


def test_planning_imports_neither_torch_nor_the_gate(own, tmp_path):
    arguments = ("--scale", "tiny", "--experiment", "fastgan-plain", "--dataset", "fluent-emoji-100", "--seed", "0")
    done = run(own, "freeze", *arguments, "--out", "run.json", search=without_torch(tmp_path))
    assert done.returncode == 0, done.stderr
    model = record(own / "run.json")["model"]
    assert model["name"] == "my_gates:PlainGate" and model["args"] == {
        "image_size": 64,
        "base_channels": 8,
        "hidden": 16,
    }


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("hidden: 16", "hiden: 16", r"fastgan-plain\.model\.args: hiden: .*\(did you mean 'hidden'\?\)"),
        ("hidden: 16", "hidden: wide", r"fastgan-plain\.model\.args: hidden: .*integer"),
        ("hidden: 16", "low_channels: 8", r"fastgan-plain\.model\.args: low_channels: "),
        ("my_gates:", "my_gate:", r"fastgan-plain\.model\.name: model 'my_gate:PlainGate': no module 'my_gate'"),
        (":PlainGate", ":PlainGat", r"fastgan-plain\.model\.name: .*my_gates.py has no 'PlainGat' .*'PlainGate'"),
        ("my_gates:PlainGate", "my_gates:", r"fastgan-plain\.model\.name: model 'my_gates:' is not \"module:name\""),
        ("task: fewshot", "task: oneshot", r"fastgan-plain\.model\.name: .* is not a network for oneshot"),
        ("  task: fewshot\n", "", r"fastgan-plain: needs task and model.name"),
    ],
)
def test_an_invalid_entry_gives_a_one_line_error(own, old, new, message):
    path = own / "config/experiments.yaml"
    before, entry = path.read_text().rsplit("\nfastgan-plain:", 1)
    assert old in entry
    path.write_text(f"{before}\nfastgan-plain:{entry.replace(old, new)}")
    with pytest.raises(InputError) as caught:
        Configuration.load(own)
    assert re.fullmatch(rf"config/experiments.yaml: {message}.*", str(caught.value)), caught.value


def test_an_invalid_file_gives_a_one_line_error(own):
    (own / "my_gates.py").write_text("class PlainGate\n")
    done = run(own, "plan")
    error = r"slim-bench: error: config/experiments.yaml: fastgan-plain.model.name: .*: \S*my_gates.py:1: .*\n"
    assert done.returncode == 2 and re.fullmatch(error, done.stderr), done.stderr


def test_the_documented_entry_is_valid_yaml_and_names_the_class():
    (entry,) = yaml.safe_load(fenced_block(METHOD_PAGE, "yaml")).values()
    assert entry["model"]["name"] == "my_gates:PlainGate" and "class PlainGate" in fenced_block(METHOD_PAGE, "python")
