"""The measuring process takes real steps, scores and preparations with synthetic images of the right shape."""

import pytest
import torch

from bench.data.datasets import load_images, load_split
from bench.measure import job
from bench.measure.probe import probes_of
from bench.measure.synthetic import write_prepared
from bench.metrics import lpips
from bench.plan import Plan


@pytest.fixture(scope="module")
def probes():
    plan = Plan.load()
    found = probes_of(plan.runs("tiny"), plan.configuration.catalogue)
    return {(probe.workload.part, probe.workload.task): probe for probe in reversed(found)}


@pytest.fixture
def reported(monkeypatch):
    results = []
    monkeypatch.setattr(job, "print_result", lambda **result: results.append(result))
    return results


def test_synthetic_images_have_the_shape_of_the_dataset(probes, tmp_path):
    write_prepared(tmp_path / "few", probes["train", "fewshot"], 8)
    write_prepared(tmp_path / "one", probes["train", "oneshot"], 8)
    write_prepared(tmp_path / "classes", probes["train", "classification"], 8)
    assert load_images(tmp_path / "few").shape[1:] == (3, 64, 64)
    assert load_images(tmp_path / "one").shape == (1, 3, 48, 48)
    images, labels = load_split(tmp_path / "classes", "train")
    assert images.shape == (200, 1, 32, 32) and set(labels.tolist()) == set(range(10))


@pytest.mark.parametrize(("task", "parts"), [("classification", 1), ("oneshot", 5)])
def test_two_steps_warm_up_and_five_are_timed_in_each_part(probes, tmp_path, reported, task, parts):
    job.measure_training(probes["train", task], tmp_path)
    steps = [(result["part"], result["warm"]) for result in reported if "step" in result]
    assert steps == [(part, repeat < 2) for part in range(parts) for repeat in range(7)]
    assert len(next(result["sizes"] for result in reported if "sizes" in result)) == parts
    assert all(result["step"] > 0 and result["peak"] > 0 for result in reported if "step" in result)


def test_scoring_and_preparation_report_the_time_of_an_image(probes, tmp_path, reported, monkeypatch):
    monkeypatch.setattr(job, "COUNTS", {"oneshot": {"cpu": (2, 3), "cuda": (2, 3)}})
    times = iter((3.0, 1.0, 1.5, 3.0, 1.0, 1.5))  # real times vary too much for an exact test
    monkeypatch.setattr(job, "_seconds", lambda work, device: (work(), next(times))[1])
    job.measure_scoring(probes["score", "oneshot"], tmp_path / "score")
    job.measure_preparation(probes["prepare", "fewshot"], tmp_path / "prepare")
    scoring, preparation = (result for result in reported if "image" in result)
    assert scoring == {"fixed": 3.0 - 2 * 0.5, "image": 0.5}
    small, large = job.PREPARED
    image = pytest.approx(0.5 / (large - small))
    assert preparation["image"] == image and preparation["fixed"] == pytest.approx(3.0 - small * 0.5 / (large - small))
    assert not any(result.get("note") for result in reported)  # every metric was computed


def test_missing_lpips_weights_are_replaced_by_random_ones(probes, tmp_path, reported, monkeypatch):
    monkeypatch.setattr(lpips, "has_lpips_weights", lambda: False)
    probe = probes["train", "fewshot"]
    recipe = probe.run.recipe.model_copy(update={"perceptual": "lpips-vgg16"})
    probe = probe.model_copy(update={"run": probe.run.model_copy(update={"recipe": recipe})})
    engine = job.build_engine(job._with_data(probe, tmp_path, 8), torch.device("cpu"))
    assert engine.perceptual.name == "lpips-vgg16" and reported == [{"note": "LPIPS with random weights"}]
