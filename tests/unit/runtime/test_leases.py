"""Each job on a machine with several GPUs leases one, which is released when the job ends for any reason."""

import os
import subprocess
import sys

import pytest

from bench.runtime import leases as devices

HOLD = """
import sys
from pathlib import Path
from bench.runtime.leases import leased_device
with leased_device(Path(sys.argv[1])) as device:
    print(device, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def two_gpus(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    monkeypatch.delenv("LOCAL_RANK", raising=False)


def test_each_job_gets_a_different_gpu(tmp_path):
    with devices.leased_device(tmp_path) as first:
        assert os.environ["CUDA_VISIBLE_DEVICES"] == first == "3"
        os.environ["CUDA_VISIBLE_DEVICES"] = "3,5"  # another process sees all devices
        with devices.leased_device(tmp_path) as second:
            assert second == "5"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3,5"


def test_a_killed_job_releases_its_device(tmp_path):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], **pipes) as job:
        assert job.stdout.readline().strip() == "3"
        with devices.leased_device(tmp_path) as device:
            assert device == "5"
        job.kill()
        job.wait()
    with devices.leased_device(tmp_path) as device:
        assert device == "3"


def test_a_job_waits_while_all_devices_are_in_use(tmp_path, monkeypatch, capsys):
    held = [devices.lock_file(tmp_path / f"{name}.lock") for name in ("3", "5")]
    monkeypatch.setattr(devices.time, "sleep", lambda _: held.pop().release())
    with devices.leased_device(tmp_path) as device:
        assert device == "5"
    assert "waiting for a GPU: other jobs use all 2" in capsys.readouterr().err


@pytest.mark.parametrize(("given", "expected"), [("", None), ("-1", None), ("2", "2")])
def test_a_job_takes_no_lease_with_one_gpu_or_none(tmp_path, monkeypatch, given, expected):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    with devices.leased_device(tmp_path) as device:
        assert device == expected
    assert not list(tmp_path.iterdir())


def test_gpus_are_counted_without_nvml(tmp_path, monkeypatch):
    """A container has device files only for its GPUs."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    monkeypatch.setattr(devices, "DEVICE_FILES", tmp_path)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert devices.visible_devices() == ["0", "1"]
    for name in ("nvidia0", "nvidia1"):
        (tmp_path / name).unlink()
    assert devices.visible_devices() == []
