"""Scoring of a finished run of each task: score files, provenance, repeatability, errors."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from bench.cli import main
from bench.data.prepared import content_hash
from bench.errors import InputError
from bench.evaluate import evaluate_folders, evaluate_run
from bench.export import WEIGHTS, create_seeded, load_export, save_weights
from bench.files import read_json
from bench.metrics.accuracy import wilson_interval
from bench.metrics.weights import has_weights
from bench.provenance import processor_name, slug
from bench.sampling import generate, generate_at
from bench.schema import parse_strict
from bench.score import Score
from tests.helpers import metric_runs
from tests.helpers.metric_runs import evaluate


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLIM_BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        threads = torch.get_num_threads()
        yield
        torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def fewshot(tmp_path_factory):
    run, folder = metric_runs.fewshot(tmp_path_factory.mktemp("fewshot"))
    for step in (1, 2):
        spec = run.model.model_dump()
        save_weights(folder / "snapshots" / f"step-{step:07d}.safetensors", create_seeded(spec, step), spec)
    return run, folder, evaluate(run, folder)


def test_a_fewshot_run_has_a_file_per_score(fewshot):
    run, folder, scores = fewshot
    for metric in run.evaluation.metrics:
        assert metric in scores
    for weights in ("untrained", "best", "control-white", "control-halves"):
        assert f"fd_efflite0@{weights}" in scores
        assert f"kid_efflite0@{weights}" in scores
    assert (folder / "scores" / "neighbours.png").exists()
    with Image.open(folder / "scores" / "neighbours.png") as grid:
        assert grid.height == 2 * 64 + 2
    assert all(score.status == "ok" for score in scores.values())


def test_scores_record_run_data_and_code(fewshot):
    run, folder, scores = fewshot
    meta = json.loads((folder / "model.json").read_text())
    score = scores["fd_efflite0"]
    assert (score.run, score.seed, score.run_sha256) == (run.name, run.seed, run.hash)
    assert (score.model_sha256, score.data_sha256) == (meta["model_sha256"], meta["data_sha256"])
    assert score.protocol == (
        "fd_efflite0/efflite0-v1/resize224-bicubic/pool1280/px64/real12-all/fake20/ema0.999-warmup/bn-train-b8"
    )
    assert (score.n, score.device, score.precision) == (20, "cpu", "float32")
    assert (score.training_precision, score.training_compile) == ("float32", False)
    assert score.seconds > 0
    assert score.peak_memory_bytes > 0
    assert score.versions["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert score.code_sha256 and score.command
    assert scores["fd_efflite0@untrained"].protocol == score.protocol
    assert scores["fd_efflite0@control-white"].protocol.endswith("real12-all/white20")
    assert scores["fd_efflite0@control-halves"].protocol.endswith("px64/halves6-6")
    assert scores["fd_efflite0@best"].protocol == score.protocol + "/best-of-2-by-fd_efflite0-own-latents"
    assert scores["fd_efflite0@best"].model_sha256 not in (None, score.model_sha256)
    assert {s.export_sha256 for s in scores.values()} == {meta["model_sha256"]}
    assert scores["kid_efflite0"].standard_error > 0
    copied = scores["memorisation_efflite0"]
    assert 0 <= copied.interval[0] <= copied.value <= copied.interval[1] <= 1
    assert copied.interval == pytest.approx([share / 100 for share in wilson_interval(100 * copied.value, 20)])


def test_the_same_export_gives_the_same_scores_to_the_last_digit(fewshot, tmp_path, monkeypatch):
    """Holds with and without cached features."""
    run, folder, scores = fewshot
    monkeypatch.setenv("SLIM_BENCH_CACHE", str(tmp_path / "cold"))
    again = evaluate(run, folder, tmp_path / "again")
    assert again.keys() == scores.keys()
    for name, score in scores.items():
        assert again[name].value == score.value, name


def test_untrained_weights_are_those_of_the_seed_before_training(fewshot, tmp_path):
    run, folder, scores = fewshot
    other = tmp_path / "run"
    shutil.copytree(folder, other)
    shutil.rmtree(other / "snapshots")
    shutil.rmtree(other / "scores")
    meta = json.loads((folder / "model.json").read_text())
    metric_runs.finish(tmp_path, run, run.model.model_dump(), meta["data_sha256"], seed=run.seed)
    mine = evaluate(run, other)
    assert mine["fd_efflite0"].value == scores["fd_efflite0@untrained"].value
    assert mine["fd_efflite0"].value != scores["fd_efflite0"].value
    assert "fd_efflite0@best" not in mine


def test_generated_images_do_not_depend_on_earlier_draws(fewshot):
    _, folder, _ = fewshot
    network, _ = load_export(folder)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    first = torch.cat(list(generate(network, 20, 8, seed=0)))
    again = torch.cat(list(generate(network, 20, 8, seed=0)))
    assert torch.equal(first, again)
    assert torch.equal(torch.cat(list(generate(network, 11, 8, seed=0))), first[:11])
    assert torch.equal(generate_at(network, [17, 2, 9], 20, 8, seed=0), first[[17, 2, 9]])
    assert not torch.equal(torch.cat(list(generate(network, 20, 8, seed=1))), first)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_oneshot_scores_have_their_protocols(tmp_path):
    run, folder = metric_runs.oneshot(tmp_path)
    scores = evaluate(run, folder)
    assert set(run.evaluation.metrics) | {"ssim_reconstruction@control-bicubic"} == set(scores)
    assert scores["ssim_samples"].n == 3
    assert len(scores["ssim_samples"].details["per_image"]) == 3
    assert scores["ssim_samples"].value == pytest.approx(np.mean(scores["ssim_samples"].details["per_image"]), abs=1e-6)
    assert "/scales3/" in scores["ms_ssim_samples"].protocol
    assert scores["ssim_reconstruction@control-bicubic"].protocol == scores["ssim_reconstruction"].protocol
    assert {name: score.value for name, score in evaluate(run, folder, tmp_path / "again").items()} == {
        name: score.value for name, score in scores.items()
    }


def test_oneshot_too_small_for_two_scales_fails_with_the_reason(tmp_path):
    run, folder = metric_runs.oneshot(tmp_path, size=(26, 20), min_size=15)
    score = evaluate(run, folder)["ms_ssim_samples"]
    assert (score.value, score.status) == (None, "ok")
    assert score.reason == "undefined, because fewer than two scales fit 26x20 px"
    assert "/scales1/" in score.protocol


def test_missing_lpips_weights_fail_only_lpips(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    if has_weights("vgg16-torchvision"):
        pytest.skip("the weights are in data/sources")
    run, folder = metric_runs.oneshot(tmp_path, metrics=("ssim_samples", "lpips_samples"))
    scores = evaluate(run, folder)
    assert scores["ssim_samples"].status == "ok"
    assert (scores["lpips_samples"].status, scores["lpips_samples"].value) == ("failed", None)
    assert "slim-bench fetch vgg16-torchvision" in scores["lpips_samples"].reason
    assert "lpips_reconstruction" not in scores


@pytest.fixture(scope="module")
def classification(tmp_path_factory):
    run, folder = metric_runs.classification(tmp_path_factory.mktemp("classification"))
    return run, folder, evaluate(run, folder)


def test_classification_scores_have_their_protocols(classification):
    run, _, scores = classification
    assert set(run.evaluation.metrics) | {f"{name}@control-linear" for name in ("top1", "top5", "ece")} == set(scores)
    top1 = scores["top1"]
    assert top1.protocol == "top1/whole32/last/test60"
    assert top1.interval[0] <= top1.value <= top1.interval[1]
    confusion = np.array(top1.details["confusion"])
    assert confusion.shape == (6, 6)
    assert top1.details["classes"] == list("abcdef")
    assert top1.details["per_class"] == pytest.approx(list(10.0 * np.diag(confusion)))
    assert 100 * np.trace(confusion) / 60 == pytest.approx(top1.value)
    assert scores["top1@control-linear"].value == 100  # a bright row determines the class
    assert sum(count for count, _, _ in scores["ece"].details["bins"]) == 60
    low, high = scores["ece"].interval
    assert low < scores["ece"].value < high
    assert scores["macs"].value > scores["params"].value
    cpu = f"cpu-{slug(processor_name())}-threads1"
    assert scores["latency"].protocol == f"latency/float32-eager/batch1/px32/{cpu}"
    assert scores["memory"].protocol == "memory/float32-eager/batch1/px32/cpu"
    assert scores["memory"].value > 3 * 32 * 32 * 4


def test_classification_repeats_to_the_last_digit(classification, tmp_path):
    run, folder, scores = classification
    again = evaluate(run, folder, tmp_path / "again")
    assert again.keys() == scores.keys()
    for name, score in scores.items():
        if score.metric not in ("latency", "memory"):
            assert (again[name].value, again[name].interval) == (score.value, score.interval), name


def test_the_best_epoch_by_held_out_images_has_separate_scores(tmp_path):
    run, folder = metric_runs.classification(tmp_path, holdout=12)
    spec = run.model.model_dump()
    sha256 = save_weights(folder / "best" / WEIGHTS, create_seeded(spec, 9), spec)
    scores = evaluate(run, folder)
    for metric in ("top1", "top5", "ece"):
        last, best = scores[metric], scores[f"{metric}@best"]
        assert best.protocol == last.protocol.replace("/last/", "/last/best-epoch-by-holdout12/")
        assert (best.weights, best.model_sha256) == ("best", sha256)
    assert scores["top1@best"].details["confusion"] != scores["top1"].details["confusion"]
    meta = json.loads((folder / "model.json").read_text())
    training = {"normalise": meta["training"]["normalise"], "protocol": "last"}
    other = metric_runs.finish(tmp_path / "other", run, spec, meta["data_sha256"], seed=9, **training)
    assert evaluate(run, other)["top1"].details["confusion"] == scores["top1@best"].details["confusion"]


def test_fewer_classes_than_five_have_no_top5(tmp_path):
    run, folder = metric_runs.classification(tmp_path, n_classes=4)
    scores = evaluate(metric_runs.evaluated(run, metrics=("top1", "top5")), folder)
    assert scores["top1"].status == "ok"
    assert (scores["top5"].status, scores["top5"].reason) == ("failed", "top5 is not defined for 4 classes")


def test_a_failed_run_fails_its_metrics_with_the_reason(fewshot, tmp_path):
    run, _, _ = fewshot
    (tmp_path / "model.json").write_text(json.dumps({"status": "failed", "reason": "NaN at step 7"}))
    scores = evaluate(run, tmp_path)
    assert set(scores) == set(run.evaluation.metrics)
    assert {(score.status, score.reason, score.value) for score in scores.values()} == {
        ("failed", "NaN at step 7", None)
    }


def test_a_network_that_returns_nan_is_a_failed_run(tmp_path):
    run, folder = metric_runs.fewshot(tmp_path, ("fd_efflite0", "params"))
    network = create_seeded(run.model.model_dump(), 0)
    with torch.no_grad():
        network.to_image.parametrizations.weight.original.fill_(torch.nan)
    meta = json.loads((folder / "model.json").read_text())
    meta["model_sha256"] = save_weights(folder / WEIGHTS, network, run.model.model_dump())
    (folder / "model.json").write_text(json.dumps(meta))
    scores = evaluate(run, folder)
    assert scores["fd_efflite0"].status == "failed"
    assert "8 of 8 images contain NaN or infinity" in scores["fd_efflite0"].reason


def test_earlier_scores_are_removed_and_unknown_metrics_refused(fewshot, tmp_path):
    run, folder, _ = fewshot
    out = tmp_path / "scores"
    evaluate(metric_runs.evaluated(run, metrics=("macs",)), folder, out)
    assert set(evaluate(metric_runs.evaluated(run, metrics=("params",)), folder, out)) == {"params"}
    wrong = metric_runs.evaluated(run, metrics=("parms",))
    with pytest.raises(InputError, match=r"unknown metric 'parms' \(did you mean 'params'"):
        evaluate_run(wrong, folder, out)


def test_an_export_of_another_run_is_refused(fewshot, tmp_path):
    run, folder, _ = fewshot
    with pytest.raises(InputError, match=r"does not match run\.json"):
        evaluate_run(run.model_copy(update={"seed": 4}), folder, tmp_path)


def test_data_prepared_again_since_the_training_are_refused(tmp_path):
    run, folder = metric_runs.fewshot(tmp_path)
    before = json.loads((folder / "model.json").read_text())["data_sha256"]
    shutil.rmtree(tmp_path / "data")
    other = metric_runs.prepare(
        tmp_path / "data", "fewshot", {"images": metric_runs.random_images(11, (64, 64), seed=1)}
    )
    with pytest.raises(InputError, match=f"the data have sha256 {other}, but .* was trained on {before}"):
        evaluate_run(run, folder, tmp_path / "scores")


def test_images_edited_since_the_preparation_are_refused(tmp_path, monkeypatch):
    """The images have the same shape and an unchanged manifest."""
    run, folder = metric_runs.fewshot(tmp_path, ("params",))
    prepared = json.loads((folder / "model.json").read_text())["data_sha256"]
    images = np.load(tmp_path / "data" / "images.npy")
    images[3, 5, 5, 0] ^= 1
    np.save(tmp_path / "data" / "images.npy", images)
    found = content_hash({"images.npy": images})
    message = f"arrays is {found}, but manifest.json records {prepared}; .*prepare it again"
    with pytest.raises(InputError, match=message):
        evaluate_run(run, folder, tmp_path / "scores")
    assert not (tmp_path / "scores").exists()
    monkeypatch.setattr(
        "bench.data.datasets.MAX_HASHED_BYTES", images.nbytes - 1
    )  # content of large sets is not verified
    assert evaluate(run, folder)["params"].status == "ok"


def test_folders_are_compared_by_every_metric(tmp_path, capsys):
    first, second = metric_runs.random_images(8, (40, 40)), metric_runs.random_images(8, (40, 40), seed=1)
    for name, images in {"a": first, "b": second}.items():
        (tmp_path / name).mkdir()
        for index, image in enumerate(images):
            Image.fromarray(image).save(tmp_path / name / f"{index}.png")
    scores = {score.metric: score for score in evaluate_folders(tmp_path / "a", tmp_path / "b")}
    assert scores["fd_efflite0"].value > 0
    assert "/px40/real8-all/fake8-folder" in scores["fd_efflite0"].protocol
    assert 0 < scores["ssim_samples"].value < 1
    same = {score.metric: score for score in evaluate_folders(tmp_path / "a", tmp_path / "a")}
    assert abs(same["fd_efflite0"].value) < 1e-6
    assert same["ssim_samples"].value == pytest.approx(1, abs=1e-9)
    assert same["memorisation_efflite0"].value == 1
    for path in sorted((tmp_path / "a").glob("*.png"))[2:]:
        path.unlink()
    command = ["evaluate", "--samples", str(tmp_path / "a"), "--reference", str(tmp_path / "b")]
    assert main([*command, "--out", str(tmp_path / "few.json")]) == 0
    few = {value["metric"]: parse_strict(Score, value, "few.json") for value in read_json(tmp_path / "few.json")}
    assert few["kid_efflite0"].standard_error is None  # it is not defined for two images
    assert (few["precision_efflite0"].status, few["precision_efflite0"].value) == ("failed", None)
    reason = "precision and recall with k=5 need more than 5 images, got 8 and 2"
    assert few["precision_efflite0"].reason == reason
    assert f"FAILED: {reason}" in capsys.readouterr().out
    (tmp_path / "a" / "broken.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"broken\.png: not an image"):
        evaluate_folders(tmp_path / "a", tmp_path / "b")
