"""Scores that use downloaded weights, from run to file: all exist, are finite and have the right protocol."""

from fnmatch import fnmatchcase
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bench.claims import load_settings
from bench.evaluate import fewshot as fewshot_task
from bench.export import create_seeded, load_export, save_weights
from bench.metrics.features import extract_features
from bench.metrics.frechet import frechet_distance
from bench.metrics.inception import AuthorsInception, as_saved_by_authors
from bench.report.read.published import load_published
from bench.sampling import generate
from tests.helpers import metric_runs, stub_weights

needs_cleanfid = pytest.mark.skipif(not find_spec("cleanfid"), reason="not installed with SciPy 1.18 or newer")
DRAWN = "ema0.999/bn-train-b16"
CLEANFID = f"inception-tf2015/cleanfid-resize299/pool2048/px64/real6-all/fake8/{DRAWN}"
AUTHORS = f"inception-ptfid/pil-bilinear256/pool2048/px64/real6-all/fake8/fake-nearest512/{DRAWN}"
FEWSHOT = {
    "fid_authors": AUTHORS,
    "fid_cleanfid": CLEANFID,
    "kid_inception": f"{CLEANFID}/poly3-subsets100x3",
    "inception_score": f"{CLEANFID}/splits1",
    "lpips_diversity": f"vgg16-v0.1/px64/samples3/{DRAWN}",
}
SIFID = "inception-torchvision-v1/{}/no-resize/px48x60/samples3"
ONESHOT = {
    "sifid64": SIFID.format("maxpool1-64"),
    "sifid192": SIFID.format("before-pool2-192"),
    "lpips_reconstruction": "vgg16-v0.1/px48x60",
    "lpips_samples": "vgg16-v0.1/px48x60/samples3",
}


@pytest.fixture(autouse=True, scope="module")
def project(tmp_path_factory):
    """Work in a project whose catalogue contains the stub weights."""
    root = stub_weights.write_project(tmp_path_factory.mktemp("project"), *sorted(stub_weights.WRITERS))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SLIM_BENCH_WEIGHTS", raising=False)
        patch.setenv("SLIM_BENCH_CACHE", str(root / "cache"))
        patch.setattr(fewshot_task, "LPIPS_SAMPLES", 3)
        shipped = SimpleNamespace(published=load_published(), settings=load_settings())
        patch.chdir(root)
        yield shipped


@pytest.fixture(scope="module")
def fewshot(tmp_path_factory):
    run, folder = metric_runs.fewshot(tmp_path_factory.mktemp("fewshot"), tuple(FEWSHOT), n=6, ema_warmup=False)
    run = metric_runs.evaluated(run, n_fake=8, batch_size=16)
    spec = run.model.model_dump()
    save_weights(folder / "snapshots" / "step-0000001.safetensors", create_seeded(spec, 1), spec)
    return run, folder, metric_runs.evaluate(run, folder)


@pytest.fixture(scope="module")
def oneshot(tmp_path_factory):
    run, folder = metric_runs.oneshot(tmp_path_factory.mktemp("oneshot"), metrics=(*ONESHOT, "ssim_samples"))
    return run, folder, metric_runs.evaluate(run, folder)


def check(scores, expected):
    for metric, protocol in expected.items():
        score = scores[metric]
        assert (score.status, score.reason) == ("ok", None)
        assert np.isfinite(score.value) and score.value != 0, metric
        assert score.protocol == f"{metric}/{protocol}"


@needs_cleanfid
def test_fewshot_scores_have_their_protocols(fewshot):
    _, _, scores = fewshot
    check(scores, FEWSHOT)
    distances = ("fid_authors", "fid_cleanfid", "kid_inception")
    for weights in ("untrained", "control-white", "control-halves"):
        assert {scores[f"{metric}@{weights}"].status for metric in distances} == {"ok"}
    best = scores["fid_authors@best"]
    assert best.protocol == f"fid_authors/{AUTHORS}/best-of-1-by-fid_authors-own-latents"
    assert scores["fid_cleanfid@best"].protocol.endswith("/best-of-1-by-fid_authors-own-latents")
    assert 1 <= scores["inception_score"].value <= 1008
    assert scores["kid_inception"].standard_error > 0


@needs_cleanfid
def test_authors_distance_enlarges_generated_images_only(fewshot):
    run, folder, scores = fewshot
    network, extractor = load_export(folder)[0], AuthorsInception()
    images = torch.from_numpy(np.load(folder.parent / "data" / "images.npy")).permute(0, 3, 1, 2)
    evaluation = run.evaluation
    fakes = generate(network, evaluation.n_fake, evaluation.batch_size, evaluation.latent_seed)
    features = extract_features(extractor, map(as_saved_by_authors, fakes))
    assert scores["fid_authors"].value == pytest.approx(
        frechet_distance(extract_features(extractor, [images]), features)
    )


def at_paper_scale(protocol, size):
    """Return the id of the same scoring at paper scale, by replacing the values that the configuration sets."""
    parts = {"/px64/": f"/px{size}/", "/real6-": "/real100-", "/fake8/": "/fake4992/", "/samples3": "/samples25"}
    for small, full in parts.items():
        protocol = protocol.replace(small, full)
    return protocol


@needs_cleanfid
def test_a_run_at_paper_scale_is_comparable_with_the_published_values(fewshot, project):
    _, _, scores = fewshot
    values = [value for value in project.published if value.metric == "fid_authors"]
    assert len(values) >= 5
    ours = scores["fid_authors"].protocol
    full = at_paper_scale(ours, 256)
    assert all(value.comparable(full) for value in values)
    assert not any(value.comparable(ours) for value in values)
    assert not any(value.comparable(full.replace("bn-train-b16", "bn-train-b8")) for value in values)


@needs_cleanfid
def test_runs_at_paper_scale_have_the_protocol_ids_of_the_claims(fewshot, oneshot, project):
    scores = fewshot[2] | oneshot[2]
    comparisons = [comparison for claim in project.settings.claims for comparison in claim.comparisons]
    selected = [comparison for comparison in comparisons if comparison.metric in scores]
    assert {"fid_authors", "ssim_samples"} <= {comparison.metric for comparison in selected}
    for comparison in selected:
        ids = [at_paper_scale(scores[comparison.metric].protocol, size) for size in (256, 1024)]
        assert any(fnmatchcase(protocol, comparison.protocol) for protocol in ids), comparison


def test_oneshot_scores_have_their_protocols(oneshot, tmp_path):
    run, folder, scores = oneshot
    check(scores, ONESHOT)
    assert set(scores) == {*ONESHOT, "ssim_samples", "lpips_reconstruction@control-bicubic"}
    assert len(scores["sifid64"].details["per_image"]) == 3
    again = metric_runs.evaluate(run, folder, tmp_path / "again")
    assert {name: score.value for name, score in again.items()} == {name: s.value for name, s in scores.items()}


def test_an_image_too_small_for_the_extractors_fails_their_scores_only(tmp_path):
    metrics = (*ONESHOT, "ssim_samples", "diversity", "params")
    run, folder = metric_runs.oneshot(tmp_path, size=(10, 12), min_size=8, metrics=metrics)
    scores = metric_runs.evaluate(run, folder)
    assert {name: score.reason for name, score in scores.items() if score.status == "failed"} == {
        "sifid64": "SIFID needs at least 23 px, got 10x12",
        "sifid192": "SIFID needs at least 23 px, got 10x12",
        "lpips_reconstruction": "LPIPS needs at least 16 px, got 10x12",
        "lpips_samples": "LPIPS needs at least 16 px, got 10x12",
        "ssim_samples": "SSIM needs at least 11 px, got 10x12",
    }
    assert {scores["diversity"].status, scores["params"].status} == {"ok"}
