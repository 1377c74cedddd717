"""The driver measures what fits into its time, keeps each result at once, and names what it could not measure."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

from bench.measure import driver
from bench.measure.driver import measure
from bench.measure.probe import probes_of
from bench.plan import Plan
from bench.throughput import Throughput
from tests.helpers import ROOT


@pytest.fixture(scope="module")
def probes():
    plan = Plan.load()
    return probes_of(plan.runs("demo"), plan.configuration.catalogue)


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr(driver, "JOB", "tests.helpers.fake_probe")
    monkeypatch.setattr(driver, "visible_devices", lambda: [])


def training(probes, ending="", size=None):
    """Return a training probe whose fake process does what `ending` says."""
    probe = next(p for p in probes if p.workload.part == "train")
    update = {"name": f"net-{ending}", "image_size": size or probe.workload.image_size}
    return probe.model_copy(update={"workload": probe.workload.model_copy(update=update)})


def run(probes, tmp_path):
    said, throughput = [], Throughput("cpu-test", tmp_path)
    measure(probes, throughput, said.append)
    return said, Throughput("cpu-test", tmp_path)


def test_each_distinct_workload_is_measured_once_and_the_smallest_first():
    plan = Plan.load()
    found = probes_of(plan.runs("paper"), plan.configuration.catalogue)
    assert len({probe.workload.key for probe in found}) == len(found)
    trainings = [probe.workload for probe in found if probe.workload.part == "train"]
    assert [workload.task for workload in trainings[:3]] == ["fewshot", "oneshot", "classification"]
    sizes = [workload.image_size for workload in trainings if workload.task == "fewshot"]
    assert sizes == sorted(sizes) and set(sizes) == {256, 1024}


def test_a_row_has_the_median_step_its_range_memory_and_energy(fake, probes, tmp_path):
    probe = training(probes)
    _, throughput = run([probe, next(p for p in probes if p.workload.part == "score")], tmp_path)
    rate = throughput.find(probe.workload)
    assert (rate.seconds, rate.seconds_low, rate.seconds_high, rate.repeats) == (0.5, 0.4, 0.7, 5)
    assert (rate.peak_memory_bytes, rate.energy_joules, rate.unit) == (100, 8.0, "step")
    assert rate.fixed_seconds == 1.0 + 2.0 + (3.5 - 2 * 0.5)  # start, export, and the slow first step
    assert [rate.seconds for rate in throughput.rates.values()] == [0.5, 0.25]


def test_a_slow_process_is_stopped_and_its_timed_steps_are_kept(fake, probes, tmp_path, monkeypatch):
    monkeypatch.setattr(driver, "CPU_SECONDS", 4.0)
    _, throughput = run([training(probes, "slow")], tmp_path)
    (rate,) = throughput.rates.values()
    assert (rate.seconds_low, rate.seconds_high, rate.repeats) == (0.4, 0.5, 2)


def test_larger_sizes_of_a_task_that_took_too_long_are_not_tried(fake, probes, tmp_path, monkeypatch):
    monkeypatch.setattr(driver, "CPU_SECONDS", 4.0)
    start = time.monotonic()
    said, throughput = run([training(probes, "mute"), training(probes, "mute", 1024)], tmp_path)
    notes = [rate.note for rate in throughput.rates.values()]
    assert notes[0].startswith("takes more than 2 s") and "64 px or less took too long" in notes[1]
    assert len(said) == 2 and time.monotonic() - start < 30


@pytest.mark.parametrize(
    ("ending", "reason"), [("memory", "out of memory: peak"), ("killed", "stopped .killed, perhaps")]
)
def test_a_failure_is_recorded_with_its_reason_and_tried_again(fake, probes, tmp_path, ending, reason):
    said, throughput = run([training(probes, ending)], tmp_path)
    (rate,) = throughput.rates.values()
    assert rate.seconds is None and re.search(reason, rate.note) and "not measured" in said[0]
    _, throughput = run([training(probes)], tmp_path)  # the key does not depend on the name
    assert [rate.seconds for rate in throughput.rates.values()] == [0.5]


def test_a_second_run_measures_only_the_rest(fake, probes, tmp_path, monkeypatch):
    monkeypatch.setattr(driver.metadata, "version", lambda name: "test")
    run([training(probes)], tmp_path)
    said, _ = run([training(probes), training(probes, size=128)], tmp_path)
    assert "1 of 2 were measured before" in said[0] and len(said) == 2
    monkeypatch.setattr(driver.metadata, "version", lambda name: "newer")
    assert len(run([training(probes)], tmp_path)[0]) == 1


KILLED = """
import os
from bench.measure import driver
from bench.measure.probe import probes_of
from bench.plan import Plan
from bench.throughput import Throughput
from tests.unit.measure.test_driver import training
from pathlib import Path

driver.JOB = "tests.helpers.fake_probe"
plan = Plan.load()
probes = probes_of(plan.runs("demo"), plan.configuration.catalogue)
both = [training(probes), training(probes, "mute", 128)]
driver.measure(both, Throughput("cpu-test", Path(os.environ["PLACE"])), lambda line: print(line, flush=True))
"""


def test_a_killed_run_keeps_what_was_measured(tmp_path):
    environment = {**os.environ, "PLACE": str(tmp_path), "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert "[1/2]" in process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert [rate.seconds for rate in Throughput("cpu-test", tmp_path).rates.values()] == [0.5]
