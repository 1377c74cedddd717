"""The patterns of config/claims.yaml and config/published.csv match ids made by the evaluation code."""

from fnmatch import fnmatchcase
from types import SimpleNamespace

import pytest
import torch

from bench.claims import load_settings
from bench.data import inputs
from bench.evaluate import classification, extractors, fewshot, oneshot
from bench.evaluate.cost import measure_cost
from bench.metrics.protocol import protocol_id
from bench.plan import Plan
from bench.report.read.published import load_published


class Recorder:
    """Stub of the scores folder that collects the protocol ids."""

    device = torch.device("cpu")

    def __init__(self, metrics):
        self.metrics, self.ids = metrics, {}

    def is_planned(self, *metrics):
        return any(metric in self.metrics for metric in metrics)

    def add(self, measurement, weights="last", model_sha256=None):
        self.ids[measurement.metric] = measurement.protocol

    def fail(self, reason, metrics=None):
        raise AssertionError(reason)


@pytest.fixture(scope="module")
def plan():
    return Plan.load()


def changed(run, **changes):
    """Return the run with changed keys of its recipe or evaluation."""
    for part in ("recipe", "evaluation"):
        value = getattr(run, part)
        known = {key: changes[key] for key in changes if key in type(value).model_fields}
        run = run.model_copy(update={part: value.model_copy(update=known)})
    return run


def few_shot_id(monkeypatch, run, extra=()):
    monkeypatch.setattr(extractors.AuthorsInception, "__init__", lambda self, device: None)
    (extractor,) = extractors.open_extractors(["fid_authors"], torch.device("cpu"))
    context = fewshot.ScoringContext(run, Recorder([]), torch.zeros(100, 1), [extractor], [])
    size = f"px{run.data.image_size}"
    return protocol_id("fid_authors", extractor.network.name, size, *context.protocol_parts(extractor), *extra)


def one_shot_ids(monkeypatch, run, height, width):
    monkeypatch.setattr(oneshot, "weights_path", lambda name: None)
    monkeypatch.setattr(oneshot, "InceptionStem", lambda path, device: None)
    monkeypatch.setattr(oneshot, "sifid", lambda stem, samples, source: ([1.0] * len(samples),) * 2)
    recorder = Recorder(["sifid64", "sifid192", "ssim_samples", "ms_ssim_samples"])
    n = run.evaluation.n_fake or run.recipe.n_samples
    samples, source = torch.zeros(n, 3, 1, 1), torch.zeros(1, 3, 1, 1)
    size = f"px{height}x{width}"
    for family, (parts, _) in oneshot._measures(recorder, height, width).items():
        values = lambda images, _: [1.0] * len(images)  # noqa: E731
        oneshot._add_scores(recorder, f"{family}_samples", "last", (*parts, size), values, (samples, source))
    oneshot._sifid(recorder, samples, source, size)
    return recorder.ids


def top_ids(monkeypatch, run, kind="folder", n=50_000):
    monkeypatch.setattr(inputs, "list_split", lambda *_: [])
    monkeypatch.setattr(classification, "load_split", lambda *_: (torch.zeros(2, 1, 32, 32), torch.zeros(2)))
    _, view = classification.open_test(run, None, SimpleNamespace(kind=kind), 256)
    averaged = "last" if run.recipe.ema_decay is None else "ema"
    recorder = Recorder(["top1", "top5"])
    batches = lambda: iter([(torch.zeros(n, 6), torch.zeros(n))])  # noqa: E731
    classification._score(recorder, torch.nn.Identity(), classification.TestImages(batches, (view, averaged)), "last")
    return recorder.ids


def cost_ids(pixels):
    recorder = Recorder(["params", "macs"])
    network = torch.nn.Linear(1, 1)
    measure_cost(recorder, network, lambda: network(torch.zeros(1, 1)), f"px{pixels}")
    return recorder.ids


def declared(claim):
    (found,) = [entry for entry in load_settings().claims if entry.id == claim]
    return found.comparisons


def test_few_shot_patterns_fix_all_except_the_number_of_real_images(monkeypatch, plan):
    for comparison in declared("few-shot"):
        for dataset in comparison.sets:
            run = plan.run("paper", comparison.slim, dataset, 0)
            fits = few_shot_id(monkeypatch, run)
            assert fnmatchcase(fits, comparison.protocol), (fits, comparison.protocol)
        others = [
            few_shot_id(monkeypatch, changed(run, **change))
            for change in ({"n_fake": 500}, {"ema_decay": 0.99}, {"ema_warmup": True}, {"batch_size": 8})
        ]
        others.append(few_shot_id(monkeypatch, run, ("best-of-7-by-fid_authors-own-latents",)))
        others += [fits.replace("/px", "/px9"), fits.replace("ptfid", "tf2015"), fits.replace("-all", "-all/half")]
        for other in others:
            assert other != fits and not fnmatchcase(other, comparison.protocol), other


def test_datasets_of_one_comparison_have_one_size(plan):
    for comparison in declared("few-shot"):
        sizes = {plan.run("paper", comparison.slim, name, 0).data.image_size for name in comparison.sets}
        assert len(sizes) == 1


def test_one_shot_patterns_fix_all_but_the_size_of_the_image(monkeypatch, plan):
    for comparison in declared("one-shot"):
        run = plan.run("paper", comparison.slim, comparison.sets[0], 0)
        for size in ((186, 248), (166, 250), (250, 120)):
            fits = one_shot_ids(monkeypatch, run, *size)
            assert fnmatchcase(fits[comparison.metric], comparison.protocol), fits
        other = one_shot_ids(monkeypatch, changed(run, n_samples=8), 186, 248)[comparison.metric]
        assert not fnmatchcase(other, comparison.protocol)
        assert not [i for name, i in fits.items() if name != comparison.metric and fnmatchcase(i, comparison.protocol)]


def test_images_of_the_one_shot_datasets_have_different_numbers_of_scales(monkeypatch, plan):
    """MS-SSIM decides no claim, because at the paper's 250 px its protocol depends on the image's aspect ratio."""
    run = plan.run("paper", "singan-slim", "singan-tree", 0)
    ids = [one_shot_ids(monkeypatch, run, *size)["ms_ssim_samples"] for size in ((186, 248), (166, 250))]
    assert ["scales5" in ids[0], "scales4" in ids[1]] == [True, True]
    assert run.recipe.max_size == 250 and "ms_ssim_samples" not in {c.metric for c in declared("one-shot")}


def test_classification_patterns_fix_crop_weights_and_test_set(monkeypatch, plan):
    (comparison,) = [c for c in declared("classification") if c.metric == "top1"]
    run = plan.run("paper", comparison.slim, "imagenet", 0)
    fits = top_ids(monkeypatch, run)["top1"]
    assert fnmatchcase(fits, comparison.protocol), fits
    small = run.model_copy(update={"data": run.data.model_copy(update={"image_size": 32})})
    others = [
        top_ids(monkeypatch, run, kind="classification")["top1"],
        top_ids(monkeypatch, small)["top1"],
        top_ids(monkeypatch, run, n=10_000)["top1"],
        top_ids(monkeypatch, changed(run, ema_decay=0.99))["top1"],
        fits.replace("/test", "/best-epoch-by-holdout10000/test"),
    ]
    assert "top1/whole32/last/test50000" in others
    assert not [other for other in others if fnmatchcase(other, comparison.protocol)]


def test_cost_patterns_fix_the_size(plan):
    for claim in ("classification", "lightweight"):
        for comparison in declared(claim):
            if comparison.metric in ("params", "macs"):
                pixels = plan.run("paper", comparison.slim, comparison.sets[0], 0).data.image_size or 224
                assert fnmatchcase(cost_ids(pixels)[comparison.metric], comparison.protocol)
                assert comparison.metric == "params" or not fnmatchcase(cost_ids(64)["macs"], comparison.protocol)


def test_published_values_are_compared_under_their_protocol(monkeypatch, plan):
    for value in load_published():
        if value.metric == "fid_authors":
            run = plan.run("paper", value.experiment, value.dataset, 0)
            assert value.comparable(few_shot_id(monkeypatch, run))
            for change in ({"n_fake": 500}, {"ema_warmup": True}):
                assert not value.comparable(few_shot_id(monkeypatch, changed(run, **change)))
        elif value.experiment:
            run = plan.run("paper", value.experiment, value.dataset, 0)
            assert value.comparable(top_ids(monkeypatch, run)[value.metric])
            assert not value.comparable(top_ids(monkeypatch, run, kind="classification")[value.metric])
