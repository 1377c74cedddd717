"""A cost is steps times measured seconds. It is unknown without a measurement, and finished runs correct it."""

import json

import pytest

from bench.data.states import FETCHABLE, HERE, MANUAL, TOKEN, TRUST
from bench.errors import InputError, readable_size
from bench.needs import Need, needs_of, prepared_bytes, to_download, to_write
from bench.paths import run_folder
from bench.plan import Plan
from bench.plan_cost import NOT_MEASURED, CostEstimator, Span, Total, wall_seconds
from bench.throughput import FOLDER, Throughput, local_device, rate_of, require_device
from bench.workload import (
    Images,
    images_of,
    preparation_workload,
    scored_images,
    scoring_workload,
    selection_images,
    steps_of,
    training_workload,
)

DEVICE = "nvidia-test-gpu"


@pytest.fixture(scope="module")
def plan():
    return Plan.load()


@pytest.fixture
def workdir(tmp_path, monkeypatch, project):
    monkeypatch.chdir(project)
    return project


def images(plan, run):
    return images_of(run, plan.configuration.catalogue.dataset(run.dataset))


def first(plan, suite, experiment, dataset=None):
    return next(r for r in plan.runs(suite) if r.experiment == experiment and dataset in (None, r.dataset))


def test_runs_share_a_workload_if_network_size_and_precision_are_equal(plan):
    runs = plan.runs("paper")
    keys = {run.name: training_workload(run, images(plan, run)).key for run in runs}
    few = [f"fastgan-sle/{name}/seed0" for name in ("100-shot-obama", "animalface-dog", "shells", "100-shot-panda")]
    obama, dog, shells, panda = (keys[name] for name in few)
    assert obama == dog == keys["fastgan-sle/100-shot-obama/seed4"]
    assert (
        len({obama, shells, panda, keys["fastgan-slim/100-shot-obama/seed0"]}) == 4
    )  # another size, output layer, gate
    assert len(set(keys.values())) == 20


@pytest.mark.parametrize(
    ("field", "value", "same"), [("steps", 9, True), ("learning_rate", 1.0, True), ("batch_size", 4, False)]
)
def test_only_keys_that_change_a_step_change_the_workload(plan, field, value, same):
    run = plan.runs("demo")[0]
    other = run.model_copy(update={"recipe": run.recipe.model_copy(update={field: value})})
    assert (training_workload(run, images(plan, run)) == training_workload(other, images(plan, run))) is same


def test_numbers_of_steps_and_images(plan):
    imagenet = first(plan, "paper", "resnet50")
    data = images(plan, imagenet)
    assert steps_of(imagenet, data) == 120 * ((1281167 - 10000) // 256)
    assert scored_images(imagenet, data) == 2 * 50000 and selection_images(imagenet) == 120 * 10000
    few, one = first(plan, "paper", "fastgan-slim"), first(plan, "paper", "singan")
    assert steps_of(few, images(plan, few)) == 70000
    assert scored_images(few, images(plan, few)) == 4992 * (2 + 7 + 1)
    assert steps_of(one, images(plan, one), scales=9) == 18000 and scored_images(one, images(plan, one)) == 25
    unknown = Images(train=None, test=None, channels=3, classes=None, files=True)
    assert steps_of(imagenet, unknown) is None and scored_images(imagenet, unknown) is None


def test_a_cost_is_steps_times_measured_seconds_with_their_range(plan, tmp_path):
    run = first(plan, "paper", "fastgan-slim", "100-shot-obama")
    throughput = Throughput(DEVICE, tmp_path)
    measured = {"unit": "step", "seconds": 0.1, "seconds_low": 0.09, "seconds_high": 0.12, "fixed_seconds": 50.0}
    training = training_workload(run, images(plan, run))
    rate = rate_of(training, **measured, peak_memory_bytes=7, energy_joules=3.0, torch="2", measured="2026-01-02")
    throughput.add([rate])
    again = Throughput(DEVICE, tmp_path)  # as read from the file
    (estimates,) = CostEstimator(plan, again).estimate([run])
    trained, scored = estimates.jobs
    assert trained.span.seconds == pytest.approx(7050.0)
    assert (trained.span.low, trained.span.high) == pytest.approx((6350.0, 8450.0))
    assert (trained.peak_memory_bytes, trained.energy_joules) == (7, 210000.0)
    assert scored.span is None and scored.missing == NOT_MEASURED and not estimates.done
    throughput.add([rate_of(scoring_workload(run, images(plan, run)), unit="image", note="needs more memory")])
    assert CostEstimator(plan, Throughput(DEVICE, tmp_path)).estimate([run])[0].jobs[1].missing == "needs more memory"


def test_an_unknown_number_of_images_has_no_cost(tmp_path):
    (tmp_path / "cats").mkdir()
    plan = Plan.load({"folders": {"cats": str(tmp_path / "cats")}})
    run = plan.runs("own")[0]
    throughput = Throughput(DEVICE, tmp_path)
    workload = preparation_workload(run, plan.configuration.catalogue.dataset("cats"))
    throughput.add([rate_of(workload, unit="image", seconds=1.0)])
    (job,) = CostEstimator(plan, throughput).preparations([run])
    assert job.span is None and "number of images of cats" in job.missing
    assert prepared_bytes(run, images(plan, run)) is None


def test_a_prepared_dataset_costs_nothing(workdir):
    plan = Plan.load()
    run = plan.runs("demo")[0]
    estimator = CostEstimator(plan, Throughput(DEVICE))
    assert estimator.preparations([run])[0].missing == NOT_MEASURED
    (workdir / run.data.path).mkdir(parents=True)
    (workdir / run.data.path / "manifest.json").touch()
    (job,) = estimator.preparations([run])
    assert (job.span, job.done) == (Span(), True)


def test_finished_runs_of_the_same_device_correct_the_cost(workdir):
    plan = Plan.load()
    runs = [run for run in plan.runs("demo") if run.experiment == "singan"]
    throughput = Throughput(local_device())
    workload = training_workload(runs[0], images(plan, runs[0]))
    throughput.add([rate_of(workload, unit="epoch", seconds=1.0, scale=scale, scales=4) for scale in range(4)])
    assert [estimate.jobs[0].span.seconds for estimate in CostEstimator(plan, throughput).estimate(runs)] == [
        240.0,
        240.0,
    ]
    for run, seconds, device in zip(runs, (100.0, 104.0), ("cpu", "NVIDIA Other"), strict=True):
        folder = workdir / run_folder("demo", run.experiment, run.dataset, run.seed)
        folder.mkdir(parents=True)
        training = {"seconds": seconds, "steps": 240, "device": device, "peak_memory_bytes": 11}
        (folder / "model.json").write_text(json.dumps({"status": "ok", "run_sha256": "x", "training": training}))
    log = workdir / "logs/demo/runs/singan/photo-astronaut/seed0"
    log.mkdir(parents=True)
    (log / "evaluate.tsv").write_text("s\th:m:s\n12.5\t0:00:12\n")
    estimator = CostEstimator(plan, throughput)
    training, scoring = estimator.estimate(runs)[1].jobs
    assert (training.span.seconds, training.peak_memory_bytes, scoring.span.seconds) == (100.0, 11, 12.5)
    assert estimator.finished.count == 1


def test_a_total_counts_jobs_of_unknown_cost(plan, tmp_path):
    total = Total()
    for estimate in CostEstimator(plan, Throughput(DEVICE, tmp_path)).estimate(plan.runs("demo")):
        total.add(estimate.jobs, estimate.done)
    assert (total.count, total.jobs, total.unknown, total.span) == (14, 28, 28, Span())


@pytest.mark.parametrize(
    ("lengths", "devices", "expected"),
    [([4, 3, 2, 1], 1, 10), ([4, 3, 2, 1], 2, 5), ([9, 1, 1], 2, 9), ([1] * 5, 4, 2), ([5, 1], 100, 5)],
)
def test_wall_time_assumes_the_longest_job_first(lengths, devices, expected):
    assert wall_seconds(lengths, devices) == expected


def test_a_damaged_throughput_file_gives_a_one_line_error(tmp_path):
    path = tmp_path / FOLDER / f"{DEVICE}.csv"
    path.parent.mkdir(parents=True)
    for text in ("part,key\ntrain,0123456789zz\n", "part,key,seconds\ntrain,0123456789ab,fast\n", 'part\n"\x00'):
        path.write_text(text)
        with pytest.raises(InputError, match=r"delete .* and measure again") as error:
            Throughput(DEVICE, tmp_path)
        assert "\n" not in str(error.value)


def test_an_unknown_device_is_refused_with_the_nearest(tmp_path):
    (tmp_path / FOLDER).mkdir(parents=True)
    (tmp_path / FOLDER / f"{DEVICE}.csv").touch()
    assert require_device(DEVICE, tmp_path) == DEVICE
    with pytest.raises(InputError, match=r"'nvidia-test-gp' has not been measured \(did you mean 'nvidia-test-gpu'"):
        require_device("nvidia-test-gp", tmp_path)


def test_needs_list_bytes_and_required_actions(workdir):
    plan = Plan.load()
    runs = [run for run in plan.runs("paper") if run.seed == 0]
    needs = {need.name: need for need in needs_of(runs, plan.configuration)}
    assert needs["imagenet"].state == MANUAL and needs["imagenet"].prepared == 0
    assert {need.state for need in needs.values()} <= {HERE, FETCHABLE, TOKEN, TRUST, MANUAL}
    assert needs["vgg16-torchvision"].files == (("vgg16-397923af.pth", 553433881),)

    arrays = 100 * 3 * 64 * 64
    emoji = needs_of(plan.runs("demo"), plan.configuration)[:1]
    assert (emoji[0].state, to_download(emoji)) == (FETCHABLE, readable_size(665600))
    assert to_write(emoji) == readable_size(665600 + arrays)
    (workdir / "data/sources").mkdir(parents=True, exist_ok=True)
    (workdir / "data/sources/fluent-emoji-100.tar").touch()
    emoji = needs_of(plan.runs("demo"), plan.configuration)[:1]
    assert (emoji[0].state, to_download(emoji), to_write(emoji)) == (HERE, "0 bytes", readable_size(arrays))


def test_a_file_of_several_datasets_is_counted_once(workdir):
    plan = Plan.load({"scale": "small", "tasks": ["oneshot"]})
    needs = [need for need in needs_of(plan.runs("oneshot"), plan.configuration) if need.kind == "dataset"]
    assert len(needs) == 3 and to_download(needs) == readable_size(2150400)


def test_an_unknown_size_is_named():
    assert to_download([Need("a", "dataset", FETCHABLE, (("a.zip", None), ("b.zip", 2000)))]) == (
        "2.0 kB and 1 of unknown size"
    )


def test_prepared_bytes_of_arrays_and_of_imagenet(plan):
    run = first(plan, "demo", "resnet14-w16")
    assert prepared_bytes(run, images(plan, run)) == 8000 * 32 * 32
    assert prepared_bytes(first(plan, "paper", "resnet50"), images(plan, first(plan, "paper", "resnet50"))) == 0
