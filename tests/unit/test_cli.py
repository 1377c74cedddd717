"""The command line: planning without torch, one-line errors with exit code 2, locks and progress of runs."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.cli import build_parser, main
from bench.commands import running
from bench.commands.plan_page import duration
from bench.frozen import FROZEN
from bench.paths import lock_path, run_folder
from bench.plan import Plan
from bench.report.read.collect import COLUMNS
from bench.run import read_run
from bench.runtime import locks
from bench.runtime.locks import lock_file
from bench.throughput import local_device
from bench.workflow import WorkflowPlan, clear_stale_lock

COMMANDS = ("plan", "status", "freeze", "fetch", "audit", "prepare", "train", "evaluate", "collect", "report", "models")
FREEZE = ["freeze", "--experiment", "fastgan-sle", "--dataset", "fluent-emoji-100", "--seed", "0", "--out"]


@pytest.fixture
def run():
    return Plan.load().runs("demo")[0]


@pytest.fixture
def workdir(tmp_path, monkeypatch, project):
    monkeypatch.chdir(project)
    return project


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


@pytest.mark.parametrize("command", [*COMMANDS, "sample", "classify"])
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as end:
        build_parser().parse_args([command, "--help"])
    assert end.value.code == 0
    assert len(capsys.readouterr().out.splitlines()) > 6


def test_plan_lists_suites_and_runs(workdir, capsys):
    assert main(["plan"]) == 0
    assert {"demo", "paper", "ablations"} <= {line.split()[0] for line in capsys.readouterr().out.splitlines()}
    assert main(["plan", "demo"]) == 0
    out = capsys.readouterr().out
    assert "14 runs at scale demo, 0 finished" in out and "fastgan-slim-4to64 on fluent-emoji-100; seeds 0, 1" in out


def test_a_device_without_measurements_has_no_cost(workdir, capsys):
    assert main(["plan", "paper"]) == 0
    out = capsys.readouterr().out
    assert f"unknown cost: {local_device()} has not been measured; run `slim-bench plan paper --measure`" in out
    assert "device-hours" not in out.partition("claim (target)")[0] and len(out.splitlines()) < 60


def test_a_cost_requires_measurements_or_finished_runs(workdir, run, capsys):
    folder = workdir / run_folder("demo", "fastgan-sle", "fluent-emoji-100", 1)
    training = {"seconds": 7200.0, "steps": 720, "device": "cpu"}  # twice the steps of the run
    write_json(folder / "model.json", {"status": "ok", "run_sha256": "x", "training": training})
    assert main(["plan", "fewshot"]) == 0
    out = capsys.readouterr().out
    assert "from 1 finished runs" in out
    (row,) = [line.split() for line in out.splitlines() if line.startswith("fewshot  ")]
    assert row[1:5] == [
        "4",
        "0",
        ">",
        "2",
    ]  # an hour for two runs; the cost of the others is unknown
    assert "unknown cost: train fewshot fastgan-slim-4to64 at 64 px: not measured; run `slim-bench plan" in out


@pytest.mark.parametrize(("seconds", "text"), [(12, "12 s"), (600, "10 min"), (7200, "2.0 h"), (864000, "10 days")])
def test_a_duration_has_one_unit(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plan", "demo", "--device", "h100"], "--device: 'h100' has not been measured; benchmarks/throughput has no"),
        (["plan", "demo", "--device", "h100", "--measure"], "--measure measures this machine"),
        (["plan", "--measure"], "plan --measure: a suite is required"),
        (["plan", "demo", "--config", "tasks"], "--config tasks: expected KEY=VALUE"),
        (["plan", "demo", "--config", "tasks=[fewshott]"], "tasks: 'fewshott' is not known .did you mean 'fewshot'"),
        (["plan", "demo", "--config", "tasks=oneshot", "tasks=fewshot"], "--config tasks: occurs twice"),
        (["status", "demo", "--config", "datasets=[imagenet]"], r"no runs with datasets=\[imagenet\] at scale 'demo'"),
    ],
)
def test_a_wrong_device_or_part_gives_a_one_line_error(workdir, capsys, arguments, message):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert re.search(message, error) and error.count("\n") == 1


def test_freeze_writes_the_planned_run(workdir, run):
    arguments = ["--experiment", run.experiment, "--dataset", run.dataset, "--seed", "0", "--out", "my/run.json"]
    assert main(["freeze", *arguments]) == 0
    assert read_run(workdir / "my/run.json") == run


def test_freeze_accepts_a_folder_of_the_user(workdir, tmp_path):
    arguments = ["--experiment", "fastgan-sle", "--dataset", "cats", "--seed", "0", "--out", "run.json"]
    assert main(["freeze", *arguments, "--folder", f"cats={{path: {tmp_path}, task: fewshot}}"]) == 0
    assert read_run(workdir / "run.json").data.path == "data/prepared/cats-64"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plan", "demmo"], "suite: 'demmo' is not known (did you mean 'demo'?)"),
        (["plan", "demo", "--scale", "demmo"], "--scale: 'demmo' is not known (did you mean 'demo'?)"),
        (["train", "--run", "nothing.json"], "nothing.json: no such file"),
        (["evaluate"], "either --run, or both --samples and --reference"),
        (["prepare", "fashion-mnist", "--size", "-4"], "--size"),
        (["fetch", "fashion-mnits"], "did you mean 'fashion-mnist'?"),
        (["collect", "--scale", "paper"], "results/paper: no such folder"),
        (["status", "own"], "pass your images"),
        ([*FREEZE, "o", "--folder", "z"], "NAME=PATH"),
        ([*FREEZE, "o", "--folder", "z={path: ["], "--folder z={path: [: not YAML (while parsing"),
        ([*FREEZE, "/dev/null/run.json"], "/dev/null: Not a directory"),
        ([*FREEZE, "/proc/run.json"], "/proc/run.json: "),
        (["train", "--run", "config"], "config: is a folder"),
        (["report"], "config/published.csv: no such file"),
    ],
)
def test_a_user_error_is_one_line_and_exit_code_2(workdir, capsys, arguments, message):
    (workdir / "config/published.csv").unlink()
    (workdir / "results/demo").mkdir(parents=True)
    (workdir / "results/demo/scores.csv").write_text(",".join(COLUMNS) + "\n")
    try:
        code = main(arguments)
    except SystemExit as end:
        code = end.code
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert code == 2 and message in error


def test_a_directory_in_place_of_a_configuration_file_is_named(workdir):
    (workdir / "config/scales.yaml").unlink()
    (workdir / "config/scales.yaml").mkdir()
    with pytest.raises(SystemExit, match=r"config/scales\.yaml: Is a directory"):
        WorkflowPlan.open({})


def test_freeze_records_compute_only_under_results(workdir, run, capsys):
    """The record distinguishes a manual edit from a changed configuration. A run.json elsewhere is not compared."""
    folder = run_folder("demo", "fastgan-sle", "fluent-emoji-100", 0)
    assert main([*FREEZE, f"{folder}/run.json"]) == 0 and main([*FREEZE, "my/run.json"]) == 0
    assert (
        json.loads((folder / FROZEN).read_text())["compute"] == json.loads((folder / "run.json").read_text())["compute"]
    )
    assert [path.name for path in (workdir / "my").iterdir()] == ["run.json"]


def test_snakemake_lists_the_missing_datasets_of_a_target(workdir, capsys):
    plan = WorkflowPlan.open({"datasets": ["fluent-emoji-100", "imagenet"], "seeds": "1"})
    assert len([path for path in plan.targets("fewshot") if path.endswith("run.json")]) == 2
    assert capsys.readouterr().err == "slim-bench: target fewshot has no imagenet\n"
    with pytest.raises(SystemExit, match="'oneshot' has no runs with datasets"):
        plan.targets("oneshot")


@pytest.mark.parametrize("name", ["run.json", "model.json"])
def test_a_folder_in_place_of_an_output_gives_a_one_line_error(workdir, run, name):
    folder = run_folder(run.scale, run.experiment, run.dataset, run.seed)
    (folder / name).mkdir(parents=True)
    with pytest.raises(
        SystemExit, match=f"{folder}/{name}: is a folder, but a file must be written there; move it away"
    ):
        WorkflowPlan.open({}).targets("demo")


@pytest.mark.parametrize("name", ["run.json", "scores/.complete", "../../../../suites/demo.finished"])
def test_a_link_to_itself_in_place_of_an_output_gives_a_one_line_error(workdir, run, name):
    path = Path(os.path.normpath(run_folder(run.scale, run.experiment, run.dataset, run.seed) / name))
    path.parent.mkdir(parents=True)
    path.symlink_to(path.name)
    with pytest.raises(SystemExit, match=f"{path}: is a link to itself, .*; delete the link"):
        WorkflowPlan.open({}).targets("demo")


def test_a_file_in_place_of_a_folder_gives_a_one_line_error(workdir, run):
    folder = run_folder(run.scale, run.experiment, run.dataset, run.seed)
    folder.mkdir(parents=True)
    (folder / "scores").write_text("mine")
    with pytest.raises(
        SystemExit, match=f"{folder}/scores: is a file, but a folder must be created there; move it away"
    ):
        WorkflowPlan.open({}).targets("demo")
    (folder / "scores").unlink()
    folder.rmdir()
    folder.write_text("mine")
    with pytest.raises(SystemExit, match=f"{folder}: is a file"):
        WorkflowPlan.open({}).targets("demo")


def test_planning_commands_import_no_torch(project):
    code = "from bench.cli import main; import sys; main(['plan', 'paper']); main(['status'])"
    code += "; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=project, capture_output=True)


def test_two_processes_never_train_one_run(workdir, run, monkeypatch, capsys):
    held = lock_file(lock_path(workdir / "out"))
    monkeypatch.setattr(locks.time, "sleep", lambda _: held.release())
    with running._run_lock(run, workdir / "out"):
        assert lock_file(lock_path(workdir / "out")) is None
    assert "another process is training this run" in capsys.readouterr().err


def test_a_finished_run_is_not_retrained(workdir, run, capsys):
    main(["freeze", "--experiment", run.experiment, "--dataset", run.dataset, "--seed", "0", "--out", "my/run.json"])
    write_json(workdir / "my/model.json", {"status": "ok", "run_sha256": run.hash})
    (workdir / "my/model.safetensors").touch()
    assert main(["train", "--run", "my/run.json"]) == 0
    assert "already trained" in capsys.readouterr().err


def test_a_stale_lock_is_removed_and_a_live_lock_is_kept(tmp_path):
    (tmp_path / "locks").mkdir()
    left = tmp_path / "locks/0.output.lock"
    left.write_text("results/demo/report/index.html\n")
    first = clear_stale_lock(tmp_path)
    assert not left.exists()
    left.touch()  # now the lock of a running process
    second = clear_stale_lock(tmp_path)
    first.close()
    third = clear_stale_lock(tmp_path)
    assert left.exists(), "the second process still runs"
    second.close()
    third.close()
    clear_stale_lock(tmp_path).close()
    assert not left.exists()


@pytest.mark.parametrize(
    ("requested", "limits"),
    [({}, {"gpu": 2}), ({"train": {"mem_mb": 1}}, {"gpu": 2}), ({"train": {"gpu": 1}}, {})],
)
def test_gpus_of_this_machine_limit_only_its_jobs(monkeypatch, requested, limits):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    workflow = SimpleNamespace(resource_settings=SimpleNamespace(overwrite_resources=requested), global_resources={})
    WorkflowPlan.open({}).attach(workflow)
    assert workflow.global_resources == limits
    workflow.global_resources = {"gpu": 1}  # --resources gpu=1
    WorkflowPlan.open({}).attach(workflow)
    assert workflow.global_resources == {"gpu": 1}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"scale": "domo"}, "did you mean 'demo'"),
        ({"folder": "nothing"}, "nothing: no such"),
        ({"seeds": [-1]}, "seed"),
    ],
)
def test_a_configuration_error_ends_snakemake_with_one_line(config, message):
    with pytest.raises(SystemExit) as end:
        WorkflowPlan.open(config).targets("demo")
    assert message in str(end.value) and "\n" not in str(end.value)


def test_workflow_prints_the_commands_for_a_users_folder(tmp_path):
    plan = WorkflowPlan.open({"folders": {"cats": {"path": str(tmp_path)}}})
    assert plan.folder_option(SimpleNamespace(dataset="cats")).startswith("--folder 'cats={")
    assert plan.folder_option(SimpleNamespace(dataset="fashion-mnist")) == ""


def test_workflow_passes_the_data_sources_to_its_jobs():
    assert WorkflowPlan.open({}).source_options == ""
    words = {"data": {"trust_first_use": "true", "mirror": "/shared/a b"}}  # Snakemake passes inner words as text
    assert WorkflowPlan.open(words).source_options == "--trust-first-use --mirror '/shared/a b'"


def test_workflow_passes_the_archive_limit_to_its_jobs():
    assert WorkflowPlan.open({}).limit_option == ""
    assert WorkflowPlan.open({"max_unpacked_gb": 2.5}).limit_option == "--max-unpacked-gb 2.5"
    with pytest.raises(SystemExit, match="max_unpacked_gb"):
        WorkflowPlan.open({"max_unpacked_gb": 0})
