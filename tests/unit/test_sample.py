"""sample and classify with exports of tiny runs, and their errors."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from bench.cli import main
from bench.errors import InputError
from bench.files import sha256_file
from bench.run import write_run
from bench.sample import classify, sample
from bench.train import train
from tests.helpers.tiny import tiny_run, write_data


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports")
    for task in ("fewshot", "oneshot", "classification"):
        steps = {"fewshot": {"steps": 1}, "oneshot": {"epochs_per_scale": 1}, "classification": {"epochs": 1}}[task]
        run = tiny_run(
            task,
            write_data(task, folder / "data" / task),
            **steps,
            **({"warmup_epochs": 0} if task == "classification" else {}),
        )
        write_run(folder / task / "run.json", run)
        train(run, folder / task, folder / "state")
    return folder


def pixels(path):
    return np.asarray(Image.open(path))


@pytest.mark.parametrize(("task", "shape"), [("fewshot", (3 * 64, 3 * 64, 3)), ("oneshot", (120, 120, 3))])
def test_grid_depends_only_on_the_seed(exports, tmp_path, task, shape):
    sample(exports / task, 7, 0, tmp_path / "a.png")
    sample(exports / task, 7, 0, tmp_path / "b.png")
    sample(exports / task, 7, 1, tmp_path / "c.png")
    assert pixels(tmp_path / "a.png").shape == shape
    assert np.array_equal(pixels(tmp_path / "a.png"), pixels(tmp_path / "b.png"))
    assert not np.array_equal(pixels(tmp_path / "a.png"), pixels(tmp_path / "c.png"))


def test_classify_prints_the_class_names(exports, tmp_path, capsys):
    Image.fromarray(np.full((50, 40, 3), 30, np.uint8)).save(tmp_path / "dark.png")
    classify(exports / "classification", [tmp_path / "dark.png"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("dark.png") and len(lines) == 5
    assert {line.split()[-1] for line in lines[1:]} == {"a", "b", "c", "d"}
    assert abs(sum(float(line.split()[0]) for line in lines[1:]) - 100) < 0.3


def test_invalid_exports_and_images_are_refused(exports, tmp_path):
    with pytest.raises(InputError, match="at least 1"):
        sample(exports / "fewshot", 0, 0, tmp_path / "x.png")
    with pytest.raises(InputError, match="is a classifier"):
        sample(exports / "classification", 4, 0, tmp_path / "x.png")
    with pytest.raises(InputError, match="is not a classifier"):
        classify(exports / "fewshot", [])
    with pytest.raises(InputError, match="no finished export"):
        sample(tmp_path, 4, 0, tmp_path / "x.png")
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(InputError, match=r"text\.png: not an image"):
        classify(exports / "classification", [tmp_path / "text.png"])


def test_damaged_export_is_refused(exports, tmp_path):
    weights = (exports / "oneshot" / "model.safetensors").read_bytes()
    (tmp_path / "model.json").write_bytes((exports / "oneshot" / "model.json").read_bytes())
    (tmp_path / "model.safetensors").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    with pytest.raises(InputError, match="damaged"):
        sample(tmp_path, 1, 0, tmp_path / "x.png")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda meta: meta | {"model": {"name": "singan", "args": {}}}, "describes a different network"),
        (lambda meta: {k: v for k, v in meta.items() if k != "model"}, "describes a different network"),
        (lambda meta: {k: v for k, v in meta.items() if k != "model_sha256"}, "damaged"),
        (lambda meta: [meta], "not a valid record of a run"),
        (lambda meta: meta | {"status": "failed", "reason": "NaN"}, "status failed: NaN"),
    ],
)
def test_a_record_that_was_tampered_with_is_refused(exports, tmp_path, change, message):
    shutil.copytree(exports / "fewshot", tmp_path / "run")
    path = tmp_path / "run/model.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(InputError, match=message):
        sample(tmp_path / "run", 1, 0, tmp_path / "x.png")


def test_an_export_that_generates_nan_gives_one_line_and_exit_code_1(exports, tmp_path, capsys):
    shutil.copytree(exports / "fewshot", tmp_path / "run")
    path = tmp_path / "run/model.safetensors"
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    broken = {k: v * torch.nan if v.is_floating_point() else v for k, v in load_file(path).items()}
    save_file(broken, path, metadata)
    meta = json.loads((tmp_path / "run/model.json").read_text())
    (tmp_path / "run/model.json").write_text(json.dumps(meta | {"model_sha256": sha256_file(path)}))
    given = ["sample", "--model", str(tmp_path / "run"), "-n", "2", "--out", str(tmp_path / "x.png")]
    assert main(given) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "x.png").exists()


def test_model_card_names_data_and_weights(exports):
    card = (exports / "fewshot" / "README.md").read_text()
    assert "fastgan-slim" in card and "model.safetensors" in card and "slim-bench sample" in card
