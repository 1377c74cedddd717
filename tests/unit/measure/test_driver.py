"""The driver measures within its time limit, writes each result immediately, and lists unmeasured workloads."""

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


@pytest.fixture
def short_limit(fake, monkeypatch):
    """End the time limit of a process when it reports that it hangs, independent of the speed of the machine."""
    whole = driver._lines

    def truncated(process, _end):
        for line in whole(process, None):
            yield None if line == "hang" else line
            if line == "hang":
                return

    monkeypatch.setattr(driver, "_lines", truncated)
    monkeypatch.setattr(driver, "_limit", lambda end, left: 2.0)


def training(probes, ending="", size=None):
    """Return a training probe whose fake process ends as `ending` states."""
    probe = next(p for p in probes if p.workload.part == "train")
    update = {"name": f"net-{ending}", "image_size": size or probe.workload.image_size}
    return probe.model_copy(update={"workload": probe.workload.model_copy(update=update)})


def run(probes, tmp_path):
    messages, throughput = [], Throughput("cpu-test", tmp_path)
    measure(probes, throughput, messages.append)
    return messages, Throughput("cpu-test", tmp_path)


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
    assert [rate.seconds for rate in throughput.rates] == [0.5, 0.25]


def test_a_slow_process_is_stopped_and_its_timed_steps_are_kept(short_limit, probes, tmp_path):
    _, throughput = run([training(probes, "slow")], tmp_path)
    (rate,) = throughput.rates
    assert (rate.seconds_low, rate.seconds_high, rate.repeats) == (0.4, 0.5, 2)


def test_each_measured_pyramid_scale_has_a_row(short_limit, probes, tmp_path):
    probe = next(p for p in probes if p.workload.part == "train" and p.workload.task == "oneshot")
    messages, throughput = run(
        [probe.model_copy(update={"workload": probe.workload.model_copy(update={"name": "pyramid"})})], tmp_path
    )
    rows = [(rate.scale, rate.image_size, rate.seconds) for rate in throughput.rates]
    assert rows == [(0, 24, 0.5), (1, 48, 0.5), (2, 96, None)]
    whole = throughput.find(probe.workload)
    assert whole.seconds is None and whole.note == "pyramid scale 3 of 3: takes more than 2 s on this device"
    assert "not measured: pyramid scale 3 of 3" in messages[0]


def test_the_rate_of_a_pyramid_is_the_mean_over_its_scales(probes, tmp_path):
    probe = next(p for p in probes if p.workload.part == "train" and p.workload.task == "oneshot")
    observed = driver.Observed()
    observed.add({"sizes": [24, 48], "fixed": 3.0})
    for part, seconds in ((0, 0.1), (1, 0.5)):
        for warm in (True, True, False, False):
            observed.add({"part": part, "warm": warm, "step": seconds, "peak": 10 + part})
        observed.add({"part": part, "joules": 4.0 * (part + 1)})
    throughput = Throughput("cpu-test", tmp_path)
    throughput.add(observed.rows(probe, ""))
    rate = Throughput("cpu-test", tmp_path).find(probe.workload)
    assert (rate.seconds, rate.energy_joules, rate.peak_memory_bytes, rate.scales) == (0.3, 6.0, 11, 2)
    assert rate.fixed_seconds == 3.0


def test_larger_sizes_of_a_task_that_took_too_long_are_not_tried(short_limit, probes, tmp_path):
    messages, throughput = run([training(probes, "mute"), training(probes, "mute", 1024)], tmp_path)
    notes = [rate.note for rate in throughput.rates]
    assert notes[0].startswith("takes more than 2 s") and "64 px or less took too long" in notes[1]
    assert len(messages) == 2


@pytest.mark.parametrize(
    ("ending", "reason"), [("memory", "out of memory: peak"), ("killed", "stopped .killed, perhaps")]
)
def test_a_failure_is_recorded_with_its_reason_and_retried(fake, probes, tmp_path, ending, reason):
    messages, throughput = run([training(probes, ending)], tmp_path)
    (rate,) = throughput.rates
    assert rate.seconds is None and re.search(reason, rate.note) and "not measured" in messages[0]
    _, throughput = run([training(probes)], tmp_path)  # the key does not depend on the name
    assert [rate.seconds for rate in throughput.rates] == [0.5]


def test_a_second_run_measures_only_missing_workloads(fake, probes, tmp_path, monkeypatch):
    monkeypatch.setattr(driver.metadata, "version", lambda name: "test")
    run([training(probes)], tmp_path)
    messages, _ = run([training(probes), training(probes, size=128)], tmp_path)
    assert "1 of 2 were measured before" in messages[0] and len(messages) == 2
    monkeypatch.setattr(driver.metadata, "version", lambda name: "newer")
    assert len(run([training(probes)], tmp_path)[0]) == 1


def test_reading_lines_of_a_process_ends_at_the_time_limit():
    with subprocess.Popen(["sh", "-c", "echo first; exec sleep 60"], stdout=subprocess.PIPE, text=True) as process:
        lines = driver._lines(process, None)
        assert next(lines) == "first"
        assert list(driver._lines(process, time.monotonic())) == [None]
        process.kill()


def test_training_gets_half_of_the_time_left_by_scoring(probes):
    trainings, scorings = ([p for p in probes if p.workload.part == part] for part in ("train", "score"))
    end = time.monotonic() + 1000
    assert driver._limit(end, [*trainings[:5], *scorings[:2]]) == pytest.approx((1000 - 2 * 30) / 2, abs=100)
    assert driver._limit(end, [trainings[0]]) == pytest.approx(1000, abs=100)
    assert driver._limit(end, scorings[:3]) == pytest.approx(1000 - 2 * 30, abs=100)
    assert driver._limit(None, trainings) is None


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


def test_a_killed_run_keeps_its_measurements(tmp_path):
    environment = {**os.environ, "PLACE": str(tmp_path), "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert "[1/2]" in process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert [rate.seconds for rate in Throughput("cpu-test", tmp_path).rates] == [0.5]
