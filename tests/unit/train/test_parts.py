"""Small parts of the loop: EMA, random streams, finite checks, history."""

import math

import pytest
import torch
from torch import nn

from bench.errors import InputError
from bench.run import ClassificationRecipe, FewShotRecipe, OneShotRecipe
from bench.runtime.rng import batch_indices, derive, generator, seed_global_generator
from bench.schema import parse_strict
from bench.train import eager
from bench.train.ema import Ema
from bench.train.loop.history import History
from bench.train.loop.recovery import Window, state_is_finite


def test_ema_follows_its_formula_and_copies_buffers():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    ema = Ema(model, 0.9)
    start = model[0].weight.detach().clone()
    with torch.no_grad():
        model[0].weight.add_(1.0)
        model[1].running_mean.fill_(7.0)
    ema.update()
    averaged = ema.averaged()
    assert torch.allclose(averaged[0].weight, start + 0.1)
    assert torch.equal(averaged[1].running_mean, torch.full((2,), 7.0))


def test_ema_decay_warms_up():
    ema = Ema(nn.Linear(1, 1), 0.999, warmup=True)
    assert [ema.decay_at(t) for t in (0, 8, 10**6)] == [0.1, 0.5, 0.999]
    assert Ema(nn.Linear(1, 1), 0.999).decay_at(0) == 0.999


def test_ema_state_round_trip():
    model = nn.Linear(3, 3)
    first = Ema(model, 0.5)
    with torch.no_grad():
        model.weight.mul_(2.0)
    first.update()
    second = Ema(model, 0.5)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.averaged().weight, second.averaged().weight) and second.updates == 1


def test_random_streams_differ_by_purpose_and_do_not_change_the_global_generator():
    assert len({derive(0, "a"), derive(1, "a"), derive(0, "b"), derive(0, "a", 1)}) == 4
    before = torch.random.get_rng_state()
    with seed_global_generator(5):
        first = torch.rand(3)
    with seed_global_generator(5):
        assert torch.equal(first, torch.rand(3))
    generator("cpu", 0, "x")
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("batch_size", [3, 10, 16])
def test_batches_cover_every_epoch_once_in_a_new_order(batch_size):
    n = 10
    drawn = torch.cat([batch_indices(n, batch_size, step, 0, "order") for step in range(10 * n // batch_size + 1)])
    epochs = drawn[: 5 * n].view(5, n)
    assert all(sorted(epoch.tolist()) == list(range(n)) for epoch in epochs)
    assert not torch.equal(epochs[0], epochs[1])


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_window_detects_one_bad_step(bad):
    window = Window()
    for value in (1.0, bad, 3.0):
        window.add({"a": torch.tensor(value), "b": torch.tensor(2.0)})
    assert window.not_finite() == ["a"] and window.means()["b"] == 2.0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_the_state_check_visits_nested_values(bad):
    good = {"a": [torch.ones(3), {"b": torch.zeros(2, dtype=torch.uint8)}], "n": 1.0}
    assert state_is_finite(good) and state_is_finite({})
    assert not state_is_finite({**good, "c": (torch.tensor([1.0, bad]),)})


def test_history_adds_columns_and_removes_later_rows(tmp_path):
    history = History(tmp_path / "history.csv")
    history.add({"step": 10, "loss": 0.5})
    history.add({"step": 20, "loss": math.nan, "accuracy": 81.25})
    with history.path.open("a") as file:
        file.write("3")  # a line truncated by a kill
    again = History(history.path)
    again.cut_after(20)
    assert again.read() == [
        {"step": "10", "loss": "0.5", "accuracy": ""},
        {"step": "20", "loss": "", "accuracy": "81.25"},
    ]
    again.cut_after(10)
    again.add({"step": 11, "loss": 0.25})
    assert [row["step"] for row in again.read()] == ["10", "11"]
    assert again.path.read_bytes() == b"step,loss,accuracy\r\n10,0.5,\r\n11,0.25,\r\n"


def test_history_quotes_special_characters(tmp_path):
    history = History(tmp_path / "history.csv")
    history.add({"step": 1, 'loss of "a, b"': 2.0})
    history.add({"step": 2, "more": 1})
    history.cut_after(1)
    assert History(history.path).read() == [{"step": "1", 'loss of "a, b"': "2", "more": ""}]


@pytest.mark.parametrize("recipe", [FewShotRecipe, OneShotRecipe, ClassificationRecipe])
@pytest.mark.parametrize("rate", [0.0, -0.1])
def test_a_learning_rate_of_zero_is_refused(recipe, rate):
    values = {"steps": 1} if recipe is FewShotRecipe else {}
    with pytest.raises(InputError, match=r"recipe: learning_rate: Input should be greater than 0"):
        parse_strict(recipe, {**values, "learning_rate": rate}, "recipe")


def test_a_torch_without_the_wrappers_is_not_changed(monkeypatch):
    class Plain:
        def step(self) -> int:
            return 3

    before = dict(vars(Plain))
    for name in ("SGD", "Adam", "AdamW", "Optimizer"):
        monkeypatch.setattr(eager, name, Plain)
    eager.avoid_compiler_import()
    assert dict(vars(Plain)) == before and Plain().step() == 3
