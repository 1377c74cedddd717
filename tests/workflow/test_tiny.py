"""Runs the whole pipeline offline, from fetching to the report page."""

import csv
import json
import os
import re
import shutil
import sys
import time

from bench.report.outputs import OUTPUTS
from tests.helpers.tiny_suite import no_network


def test_every_run_succeeds(tiny):
    project, _ = tiny
    status = project.run("slim-bench", "status", "tiny").stdout
    assert status.splitlines()[-1] == "tiny at scale tiny: 7 ok", status
    with (project.path / "results/tiny/scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["status"] for row in rows} == {"ok"}
    assert {row["task"] for row in rows} == {"fewshot", "oneshot", "classification"}


def test_every_score_has_its_provenance(tiny):
    project, _ = tiny
    paths = list((project.path / "results/tiny/runs").glob("*/*/*/scores/*.json"))
    assert paths
    for path in paths:
        score = json.loads(path.read_text())
        run = json.loads((path.parents[1] / "run.json").read_text())
        model = json.loads((path.parents[1] / "model.json").read_text())
        data = json.loads((project.path / run["data"]["path"] / "manifest.json").read_text())
        assert score["data_sha256"] == model["data_sha256"] == data["sha256"], path
        assert score["run_sha256"] == model["run_sha256"], path
        assert score["protocol"] and score["versions"]["torch"] and score["command"].startswith("slim-bench"), path


def test_the_page_is_self_contained(tiny):
    project, _ = tiny
    page = (project.path / "results/tiny/report/index.html").read_text()
    assert "not tested at this scale" in page.lower()
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//[^"']+\.(?:js|css|png|svg|woff2?)""", page)
    assert all(name in page for name in ("fastgan-slim-4to64", "singan-slim", "resnet14-slim-w16"))


def test_progress_is_shown_and_logged(tiny):
    project, result = tiny
    text = result.stdout + result.stderr
    assert re.search(r"\[fastgan-sle/fluent-emoji-100/seed0\] step 6/6", text)
    log = project.path / "logs/tiny/runs/fastgan-sle/fluent-emoji-100/seed0/train.log"
    first, *_ = log.read_text().splitlines()
    assert first.endswith("slim-bench train --run results/tiny/runs/fastgan-sle/fluent-emoji-100/seed0/run.json")
    assert "step 6/6" in log.read_text()


def test_a_second_start_does_nothing_even_with_remaining_locks(tiny):
    project, _ = tiny
    locks = project.path / ".snakemake/locks"
    locks.mkdir(exist_ok=True)
    (locks / "0.output.lock").write_text("results/tiny/report/index.html\n")
    before = {path: path.stat().st_mtime_ns for path in (project.path / "results").rglob("*") if path.is_file()}
    result = project.snakemake("tiny")
    assert result.returncode == 0 and "Nothing to be done" in result.stdout + result.stderr
    after = {path: path.stat().st_mtime_ns for path in (project.path / "results").rglob("*") if path.is_file()}
    assert after == before


def test_modification_times_are_ignored(tiny):
    """Finished results remain up to date with touched sources, a wrong clock, and no Snakemake metadata."""
    project, _ = tiny
    kept = {path: path.read_bytes() for path in (project.path / "results/tiny").rglob("*") if path.is_file()}
    tomorrow = time.time() + 86400
    for path in [*(project.path / "config").rglob("*"), *(project.path / "data").rglob("*"), *kept]:
        os.utime(path, (tomorrow, tomorrow))
    shutil.rmtree(project.path / ".snakemake/metadata")
    result = project.snakemake("tiny")
    assert result.returncode == 0 and "Nothing to be done" in result.stdout + result.stderr, result.stderr
    assert {path: path.read_bytes() for path in kept} == kept


def test_only_a_truncated_score_is_computed_again(tiny):
    """The run has every kind of damage: a list, a folder, a pipe and a missing file."""
    project, _ = tiny
    folder = project.path / "results/tiny/runs/singan/photo-astronaut/seed0/scores"
    values = {path: json.loads(path.read_text())["value"] for path in folder.glob("*.json")}
    truncated, listed, pipe, directory, missing = sorted(values)[:5]
    truncated.write_text(truncated.read_text()[:40])
    listed.write_text("[]")
    for path in (pipe, directory, missing):
        path.unlink()
    os.mkfifo(pipe)
    directory.mkdir()
    (folder / "note.txt").write_text("of a user")
    (project.path / "results/tiny/scores.csv").write_text("scale,task,experiment,da")
    for name in (".collected.json", ".rendered.json"):
        (project.path / "results/tiny" / name).write_text("[]")
    assert "trained: " in project.run("slim-bench", "status", "tiny").stdout
    result = project.snakemake("tiny", "--cores", "2")
    message = result.stdout + result.stderr
    assert result.returncode == 0, message
    assert re.search(r"^evaluate +1$", message, re.MULTILINE) and not re.search(r"^train ", message, re.MULTILINE), (
        message
    )
    assert "is missing or damaged" in message
    assert {path: json.loads(path.read_text())["value"] for path in folder.glob("*.json")} == values
    assert (folder / "note.txt").read_text() == "of a user"
    assert (folder / f"{listed.name}.aside-1").read_text() == "[]" and (folder / f"{directory.name}.aside-1").is_dir()
    with (project.path / "results/tiny/scores.csv").open(newline="") as file:
        assert {row["status"] for row in csv.DictReader(file)} == {"ok"}


def test_an_edited_compute_is_current_and_a_lost_description_is_written_again(tiny):
    project, _ = tiny
    edited, lost = (
        project.path / f"results/tiny/runs/{name}/fashion-mnist-tiny/seed0/run.json"
        for name in ("resnet14-w16", "resnext14-w16")
    )
    text, whole = edited.read_text(), lost.read_bytes()
    assert text.count('"threads": 1') == 1
    edited.write_text(text.replace('"threads": 1', '"threads": 2'))
    planned = project.snakemake("--dry-run", "tiny")
    edited.write_text(text)
    message = planned.stdout + planned.stderr
    assert planned.returncode == 0 and not re.search(r"^(freeze_run|train|evaluate) ", message, re.MULTILINE), message
    assert re.search(r"^collect +1$", message, re.MULTILINE), "the table contains every run.json"
    lost.unlink()
    planned = project.snakemake("--dry-run", "tiny")
    assert re.search(r"^freeze_run +1$", planned.stdout + planned.stderr, re.MULTILINE), planned.stdout
    lost.write_bytes(whole)


def test_results_of_another_suite_are_not_collected_again(tiny):
    project, _ = tiny
    other, own = (project.path / f"results/tiny/suites/{suite}.finished" for suite in ("fewshot", "tiny"))
    other.touch()
    os.utime(other, ns=(own.stat().st_atime_ns, own.stat().st_mtime_ns))
    result = project.snakemake("--dry-run", "tiny", "fewshot", "--config", "scale=tiny")
    other.unlink()
    assert "Nothing to be done" in result.stdout + result.stderr, result.stdout


def test_snakemakes_report_has_the_content_of_the_page(tiny):
    project, _ = tiny
    command = (sys.executable, "-m", "snakemake", "--report", "tiny.html", "tiny")
    result = project.run(*command, prefix=no_network() or (), SLIM_BENCH_OFFLINE="1")
    assert result.returncode == 0, result.stdout + result.stderr
    text = (project.path / "tiny.html").read_text()
    assert all(f"results/tiny/{path}" in text for path in OUTPUTS)


def test_remaining_files_show_a_lost_run_as_missing(tiny):
    """`snakemake report` reads existing results. The suite then repeats only the lost run."""
    project, _ = tiny
    folder = project.path / "results/tiny/runs/resnet14-w16/fashion-mnist-tiny/seed0"
    kept = (folder / "model.json").read_bytes()
    (folder / "model.json").unlink()
    result = project.snakemake("report", "--config", "scale=tiny")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "MISSING" in (project.path / "results/tiny/tables/classification.csv").read_text().upper()
    planned = project.snakemake("--dry-run", "tiny")
    assert re.search(r"^train +1$", planned.stdout + planned.stderr, re.MULTILINE)
    (folder / "model.json").write_bytes(kept)


def test_a_changed_configuration_trains_again_and_keeps_the_finished_runs(tiny):
    """This test is the last, because it changes results that the others read."""
    project, _ = tiny
    scales = project.path / "config/scales.yaml"
    text = scales.read_text()
    assert text.count("epochs_per_scale: 3,") == 1
    scales.write_text(text.replace("epochs_per_scale: 3,", "epochs_per_scale: 2,"))
    folder = project.path / "results/tiny/runs/singan/photo-astronaut/seed0"
    weights, description = (folder / "model.safetensors").read_bytes(), (folder / "run.json").read_bytes()
    result = project.snakemake("tiny", "--cores", "2")
    message = result.stdout + result.stderr
    assert result.returncode == 0, message
    assert re.search(r"^train +2$", message, re.MULTILINE), "SinGAN with and without SLIM"
    kept = project.path / "results/tiny/superseded/singan/photo-astronaut/seed0-1"
    assert (kept / "model.safetensors").read_bytes() == weights
    assert (kept / "run.json").read_bytes() == description
    assert json.loads((kept / "scores/params.json").read_text())["value"]
    assert json.loads((folder / "run.json").read_text())["recipe"]["epochs_per_scale"] == 2
    assert "superseded" not in (project.path / "results/tiny/scores.csv").read_text()
    again = project.snakemake("--dry-run", "tiny")
    assert "Nothing to be done" in again.stdout + again.stderr
