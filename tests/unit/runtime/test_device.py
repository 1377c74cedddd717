import pytest
import torch

from bench.errors import InputError
from bench.run import Compute
from bench.runtime.device import choose_device, device_name, is_device_failure, open_device


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield before
    torch.set_num_threads(before)


def test_a_run_uses_its_number_of_threads(threads):
    assert open_device(Compute(device="cpu", threads=threads + 1)) == torch.device("cpu")
    assert torch.get_num_threads() == threads + 1


def test_a_run_without_a_thread_count_does_not_change_it(threads):
    open_device(Compute(device="cpu", threads=None))
    assert torch.get_num_threads() == threads


def test_a_missing_gpu_is_an_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=r"compute\.device: cuda"):
        choose_device("cuda")
    assert choose_device("auto") == torch.device("cpu")


def test_a_device_has_a_name(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU {device.index}")
    assert device_name(torch.device("cpu")) == "cpu"
    assert device_name(torch.device("cuda", 1)) == "GPU 1"


LOST = "CUDA error: unspecified launch failure\nCompile with `TORCH_USE_CUDA_DSA` to enable device-side assertions."


def test_a_gpu_that_cannot_be_used_gives_a_one_line_error(monkeypatch):
    def lose_device(device):
        raise RuntimeError(LOST)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", lose_device)
    with pytest.raises(InputError, match=r"^compute\.device: cuda:0 cannot be used \(CUDA error: .* failure\); check"):
        open_device(Compute(device="auto"))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError(LOST), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), True),
        (torch.OutOfMemoryError("CUDA out of memory"), False),
        (RuntimeError("shapes differ"), False),
        (ValueError("CUDA error"), False),
    ],
)
def test_failures_of_a_gpu_are_recognised(error, expected):
    assert is_device_failure(error) is expected
