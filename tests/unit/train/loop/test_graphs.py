"""Steps recorded as CUDA graphs give the same results as other steps.

No GPU is needed, because the recorder is a mock that calls the function again where CUDA would replay it.
"""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bench.train.fewshot.engine import FewShot
from bench.train.loop.graphs import WARM_UP, Call, Replay, Replayed, Scalars, recorder
from bench.train.oneshot.engine import OneShot
from tests.helpers.tiny import tiny_run, write_data

CPU = torch.device("cpu")


class MockRecorder:
    """Repeats the call into the same tensors. `log` lists the calls of its methods."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def run(self, call: Call) -> Scalars:
        self.log.append("run")
        return call()

    def record(self, call: Call) -> tuple[Replay, Scalars]:
        self.log.append("record")
        filled: dict[str, Tensor] = {}

        def replay() -> None:
            self.log.append("replay")
            for name, value in call().items():
                filled.setdefault(name, torch.empty_like(value)).copy_(value)

        return replay, filled


def test_each_key_is_warmed_up_recorded_once_and_replayed() -> None:
    mock, calls = MockRecorder(), []
    replayed = Replayed(lambda key: calls.append(key) or {"key": torch.tensor(float(key))}, mock)
    values = [float(replayed(key)["key"]) for key in [1, 2] * (WARM_UP + 2)]
    assert values == [1.0, 2.0] * (WARM_UP + 2) and calls == [1, 2] * (WARM_UP + 2)
    assert [mock.log.count(word) for word in ("run", "record", "replay")] == [2 * WARM_UP, 2, 4]
    replayed.forget()
    replayed(1)
    assert mock.log[-1] == "run"


def test_without_a_recorder_the_function_is_called() -> None:
    assert Replayed(lambda: {"one": torch.ones(())}, None)()["one"] == 1


def test_graphs_are_recorded_only_if_enabled_on_a_gpu(tmp_path: Path) -> None:
    data = write_data("oneshot", tmp_path / "data")
    for requested in (False, True):
        assert recorder(tiny_run("oneshot", data, compute={"cuda_graphs": requested}).compute, CPU, []) is None


@pytest.mark.parametrize(
    ("task", "make", "changes"),
    [
        ("fewshot", FewShot, {"steps": 20}),
        ("oneshot", OneShot, {"epochs_per_scale": 10, "decay_at": 0.5, "generator_steps": 2}),
    ],
)
def test_recording_graphs_changes_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str, make: Callable, changes: dict
) -> None:
    """Includes a rollback, a new pyramid scale and a new learning rate, which must discard the recordings."""
    run = tiny_run(task, write_data(task, tmp_path / "data"), **changes)
    mocks: list[MockRecorder] = []

    def mock_recorder(*_: object) -> MockRecorder:
        mocks.append(MockRecorder())
        return mocks[-1]

    plain = trained(make(run, CPU))
    monkeypatch.setattr(f"bench.train.{task}.engine.recorder", mock_recorder)
    recorded = trained(make(run, CPU))
    assert plain == recorded
    assert sum(mock.log.count("replay") for mock in mocks) >= 3


def trained(engine: FewShot | OneShot) -> list[dict[str, float]]:
    """Return the losses of 16 steps, and of 4 more from the state after the fourth with new random streams."""
    losses, saved = [], None
    for index in [*range(16), *range(4, 8)]:
        if index == 4 and saved is None:
            saved = copy.deepcopy(engine.state_dict())
        elif index == 4:
            engine.load_state_dict(saved)
            engine.reseed(1)
        losses.append({name: float(value) for name, value in engine.step(index).items()})
    return losses
