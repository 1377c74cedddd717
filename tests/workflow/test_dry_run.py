"""Snakemake plans every suite without torch, and reports user errors in one line before any job."""

import json
import re

import pytest

from bench.plan import Plan
from tests.helpers.documentation import add_method
from tests.helpers.executors import stand_in_executor

MISSING_IN_A_NEW_CLONE = {
    *("imagenet", "ffhq-1k", "singan-brandenberg", "singan-bridge", "singan-golden-gate", "singan-tower"),
    *("100-shot-obama", "animalface-cat"),  # no checksum is published
}


def counts(text: str) -> dict[str, int]:
    """Return the jobs per rule from the last table of job counts."""
    table = text.rsplit("Job stats:", 1)[1]
    return {name: int(number) for name, number in re.findall(r"^(\w+(?:-\w+)?) +(\d+)$", table, re.MULTILINE)}


def test_the_default_is_the_demo(project_copy):
    result = project_copy.plan_only()
    assert result.returncode == 0, result.stdout + result.stderr
    found = counts(result.stdout + result.stderr)
    assert found["demo"] == 1
    assert found["train"] == found["evaluate"] == found["freeze_run"] == len(Plan.load().runs("demo"))
    assert found["collect"] == found["render_report"] == 1


@pytest.mark.parametrize(
    ("targets", "scale"),
    [(["paper"], "paper"), (["ablations", "fewshot", "oneshot", "classification"], "demo")],
)
def test_every_suite_plans(project_copy, targets, scale):
    result = project_copy.plan_only(*targets)
    assert result.returncode == 0, result.stdout + result.stderr
    found = counts(result.stdout + result.stderr)
    plan = Plan.load()
    runs = {run.name: run for suite in targets for run in plan.runs(suite)}
    missing = MISSING_IN_A_NEW_CLONE if scale == "paper" else set()
    started = [run for run in runs.values() if run.dataset not in missing]
    assert {run.scale for run in runs.values()} == {scale}
    assert found["train"] == found["evaluate"] == len(started)
    assert found["audit_dataset"] == found["prepare_dataset"] == len({run.data.path for run in started})
    assert all(found[target] == 1 for target in targets)


def test_datasets_that_must_be_installed_are_listed_once_before_the_first_job(project_copy):
    """Names, number of runs and remedy of each dataset."""
    result = project_copy.plan_only("paper", "--quiet", "--config", "data={trust_first_use: true}")
    assert result.returncode == 0, result.stdout + result.stderr
    message = (result.stdout + result.stderr).split("Job stats:", 1)[0]
    assert re.search(r"paper: \d+ of \d+ runs are left out", message)
    lines = re.findall(r"^  ([a-z0-9, -]+) \((\d+) runs\): (.+)$", message, re.MULTILINE)
    listed = [name for names, _, _ in lines for name in names.split(", ")]
    assert sorted(listed) == sorted(MISSING_IN_A_NEW_CLONE - {"100-shot-obama", "animalface-cat"})
    remedies = {names: remedy for names, _, remedy in lines}
    assert "image-net.org" in remedies["imagenet"] and "data/sources/ffhq-1k" in remedies["ffhq-1k"]


def test_a_suite_without_any_data_is_an_error(project_copy):
    result = project_copy.plan_only("classification", "--quiet", "--config", "scale=paper")
    assert result.returncode != 0
    message = result.stdout + result.stderr
    assert "classification: no run can start before the data listed above are installed" in message
    assert "imagenet (35 runs): create an account at image-net.org" in message and "Traceback" not in message


def test_installed_data_are_not_listed(fresh_copy):
    (fresh_copy.path / "data/sources/imagenet").mkdir()
    result = fresh_copy.plan_only("classification", "--quiet", "host", "--config", "scale=paper")
    assert result.returncode == 0, result.stdout + result.stderr
    assert counts(result.stdout + result.stderr)["train"] == 35 and "left out" not in result.stdout + result.stderr


def test_missing_outputs_after_a_download_that_is_repeated_are_planned(fresh_copy):
    """Snakemake does not look for them if all their inputs are `ancient`."""
    receipt = fresh_copy.path / "data/sources/fluent-emoji-100.json"
    receipt.write_text(json.dumps({"dataset": "fluent-emoji-100", "entry_sha256": "0" * 64}))
    result = fresh_copy.plan_only("tiny", "--quiet", "host")
    assert result.returncode == 0, result.stdout + result.stderr
    found = counts(result.stdout + result.stderr)
    assert found["train"] == found["evaluate"] == len(Plan.load().runs("tiny"))
    assert found["fetch_dataset"] == 3


def test_own_images_and_another_scale_and_seed_in_one_line(project_copy):
    result = project_copy.plan_only("own", "--quiet", "host", "--config", "folder=docs", "scale=tiny", "seeds=[3]")
    assert result.returncode == 0, result.stdout + result.stderr
    found = counts(result.stdout + result.stderr)
    assert (found["train"], found["prepare_dataset"], found["fetch_dataset"]) == (2, 1, 1)
    assert re.search("results/tiny/runs/fastgan-sle/docs-[0-9a-f]{8}/seed3", result.stdout + result.stderr)


def test_an_external_method_can_be_in_a_suite_without_import(fresh_copy):
    """Follows docs/how-to/add-a-method.md with a torch that cannot be imported."""
    add_method(fresh_copy.path)
    suite = fresh_copy.path / "config/suites/fewshot.yaml"
    listed = "experiments: [fastgan-sle, "
    assert listed in suite.read_text()
    suite.write_text(suite.read_text().replace(listed, f"{listed}fastgan-plain, "))
    result = fresh_copy.plan_only("fewshot", "--quiet", "host")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "results/demo/runs/fastgan-plain/fluent-emoji-100/seed0/model.json" in result.stdout + result.stderr


@pytest.mark.parametrize(
    ("cluster", "scale", "options", "wanted"),
    [
        ("slurm", "small", [], {"gpu": 1, "mem_mb": 8000, "runtime": 60}),
        ("kubernetes", "small", [], {"gpu": 1, "mem_mb": 8000}),
        ("slurm", "tiny", [], {"gpu": 0, "mem_mb": 3000, "runtime": 30}),
        ("slurm", "small", ["--set-resources", "train:mem_mb=123"], {"gpu": 1, "mem_mb": 123, "runtime": 60}),
    ],
)
def test_jobs_of_a_head_node_without_gpu_request_what_their_scale_needs(
    project_copy, cluster, scale, options, wanted, tmp_path
):
    """The executor is a stub that is never called, because the real ones need their cluster."""
    stand_in_executor(tmp_path, cluster)
    arguments = ["--dry-run", "classification", *options, "--workflow-profile", f"workflow/profiles/{cluster}"]
    search = f"{tmp_path}:{project_copy.path / 'torchless'}:{project_copy.path}"
    arguments += ["--quiet", "host", "--config", f"scale={scale}", "seeds=0"]
    result = project_copy.snakemake(*arguments, PYTHONPATH=search, CUDA_VISIBLE_DEVICES="")
    message = result.stdout + result.stderr
    assert result.returncode == 0, message
    trained = re.findall(r"^rule train:\n(?: .*\n)+", message, re.MULTILINE)
    assert trained
    for name, value in wanted.items():
        assert all(re.search(rf"resources: .*\b{name}={value}\b", text) for text in trained), trained[0]


def test_a_missing_output_of_outdated_inputs_is_planned(fresh_copy):
    """After a kill, only run.json exists. Its renewal alone would not start the jobs after it."""
    folder = "results/tiny/runs/singan/photo-astronaut/seed0"
    assert fresh_copy.snakemake(f"{folder}/run.json", "--cores", "1").returncode == 0
    scales = fresh_copy.path / "config/scales.yaml"
    scales.write_text(scales.read_text().replace("epochs_per_scale: 3,", "epochs_per_scale: 2,"))
    for target, rules in (("model.json", {"train"}), ("scores/.complete", {"train", "evaluate"})):
        result = fresh_copy.plan_only(f"{folder}/{target}", "--quiet", "host")
        message = result.stdout + result.stderr
        assert result.returncode == 0, message
        assert {"freeze_run", *rules} <= counts(message).keys()
        assert message.count("slim-bench: outdated") == 1, "each reason is printed once"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config", "scal=demo"], "config/config.yaml: scal: Extra inputs are not permitted (did you mean 'scale'?)"),
        (["own"], "pass your images with snakemake own --config folder=PATH"),
    ],
)
def test_an_invalid_argument_gives_a_one_line_error(project_copy, arguments, message):
    result = project_copy.plan_only(*arguments)
    assert result.returncode != 0
    lines = [line for line in (result.stdout + result.stderr).splitlines() if "slim-bench: error" in line]
    assert len(lines) == 1 and message in lines[0]
    assert "Traceback" not in result.stdout + result.stderr
