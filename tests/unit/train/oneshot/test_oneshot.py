"""One-shot engine: schedule of the scales, frozen scales, resume, export."""

import io
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from bench.errors import InputError
from bench.export import WEIGHTS, load_weights
from bench.run import Compute, DataSpec, Evaluation, ModelSpec, OneShotRecipe, Run
from bench.runtime import memory
from bench.train.loop.loop import run_loop
from bench.train.loop.record import Data
from bench.train.oneshot import engine as oneshot
from bench.train.oneshot.engine import OneShot

EPOCHS, SCALES = 3, 3
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_image(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Tensor:
    """Replace reading of the empty folder waves-full by one image."""
    (tmp_path / "waves-full").mkdir()
    monkeypatch.chdir(tmp_path)
    rows, columns = torch.meshgrid(torch.arange(60.0), torch.arange(72.0), indexing="ij")
    waves = [torch.sin(rows / 5 + k) + torch.cos(columns / (4 + k)) for k in range(3)]
    image = ((torch.stack(waves) + 2) * 63).to(torch.uint8)[None]
    monkeypatch.setattr("bench.data.datasets.load_images", lambda folder: image)
    return image


def make_run(name: str = "singan-slim", args: dict[str, Any] | None = None, **recipe: Any) -> Run:
    values = {"epochs_per_scale": EPOCHS, "max_size": 40, "n_samples": 2, "critic_steps": 2, **recipe}
    return Run(
        scale="tiny",
        experiment=name,
        dataset="waves",
        seed=1,
        task="oneshot",
        model=ModelSpec(name=name, args={"base_channels": 8, **(args or {})}),
        data=DataSpec(path="waves-full"),
        recipe=OneShotRecipe(**values),
        evaluation=Evaluation(metrics=("params",)),
        compute=Compute(device="cpu", log_every=2, checkpoint_seconds=1e9),
    )


def advance(engine: OneShot, start: int, stop: int) -> dict[str, Tensor]:
    losses: dict[str, Tensor] = {}
    for index in range(start, stop):
        losses = engine.step(index)
    return losses


def same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


@pytest.mark.parametrize("name", ["singan", "singan-slim"])
@pytest.mark.parametrize("residual", [True, False])
def test_the_four_combinations_train(name: str, residual: bool) -> None:
    engine = OneShot(make_run(name, {"residual": residual}), CPU)
    assert engine.total_steps == EPOCHS * SCALES == EPOCHS * len(engine.pyramid.sizes)
    losses = advance(engine, 0, EPOCHS + 1)
    assert set(losses) == {"critic", "penalty", "generator", "reconstruction", "gradient_norm_d", "gradient_norm_g"}
    assert all(value.ndim == 0 and not value.requires_grad and value.isfinite() for value in losses.values())


def test_only_the_current_scale_changes_and_has_optimiser_state() -> None:
    engine = OneShot(make_run(), CPU)
    advance(engine, 0, EPOCHS + 1)
    before = {name: value.clone() for name, value in engine.pyramid.state_dict().items()}
    advance(engine, EPOCHS + 1, 2 * EPOCHS)
    changed = {name for name, value in engine.pyramid.state_dict().items() if not torch.equal(value, before[name])}
    trained = {f"scales.1.{name}" for name, _ in engine.pyramid.scales[1].named_parameters()}
    assert changed and changed <= trained
    held = sum(len(group["params"]) for group in engine.training.generator_optimiser.param_groups)
    assert held == len(trained)
    assert [all(p.requires_grad for p in scale.parameters()) for scale in engine.pyramid.scales] == [
        index == 1 for index in range(SCALES)
    ]


def test_a_scale_of_equal_width_starts_from_the_weights_of_the_one_below() -> None:
    engine = OneShot(make_run(), CPU)
    advance(engine, 0, EPOCHS)
    below = {name: value.clone() for name, value in engine.pyramid.scales[0].state_dict().items()}
    gate = {name: value.clone() for name, value in engine.pyramid.scales[1].gate.state_dict().items()}
    critic = engine.training.critic.state_dict()
    engine._begin(1)
    started = engine.pyramid.scales[1].state_dict()
    assert same({name: started[name] for name in below}, below)
    assert same(dict(engine.pyramid.scales[1].gate.state_dict()), gate)
    assert same(dict(engine.training.critic.state_dict()), dict(critic))
    assert not engine.training.generator_optimiser.state


def test_a_wider_scale_is_initialised_from_scratch() -> None:
    engine = OneShot(make_run(max_size=60, scale_factor=0.87), CPU)
    assert engine.pyramid.widths[3:5] == (8, 16)
    fresh = {name: value.clone() for name, value in engine.pyramid.scales[4].state_dict().items()}
    engine._train(engine._open(3))
    engine._begin(4)
    assert same(dict(engine.pyramid.scales[4].state_dict()), fresh)


def test_noise_amplitudes_are_a_tenth_of_the_residual_of_the_scales_below() -> None:
    engine = OneShot(make_run("singan"), CPU)
    advance(engine, 0, EPOCHS + 1)
    upsampled = engine.pyramid.ups[0](engine.pyramid.reconstruct(1))
    expected = 0.1 * (upsampled - engine.reals[1]).square().mean().sqrt()
    assert engine.pyramid.amplitudes[0] == 1 and torch.allclose(engine.pyramid.amplitudes[1], expected)
    assert 0 < expected < 0.1


def test_the_learning_rate_falls_to_a_tenth_late_in_every_scale() -> None:
    engine = OneShot(make_run(epochs_per_scale=5), CPU)
    rates = []
    for index in range(10):
        engine.step(index)
        rates.append(engine.learning_rates()["learning_rate"])
    assert rates == pytest.approx([5e-4] * 4 + [5e-5] + [5e-4] * 4 + [5e-5])


def test_the_reconstruction_learns() -> None:
    engine = OneShot(make_run("singan", epochs_per_scale=30), CPU)
    first = engine.step(0)["reconstruction"]
    assert advance(engine, 1, 30)["reconstruction"] < 0.5 * first


@pytest.mark.parametrize("k", [EPOCHS - 1, EPOCHS, EPOCHS + 1])
def test_a_resumed_run_is_bit_equal(k: int) -> None:
    uninterrupted = OneShot(make_run(), CPU)
    advance(uninterrupted, 0, k)
    resumed = OneShot(make_run(), CPU)
    resumed.load_state_dict(saved_and_loaded(uninterrupted.state_dict()))
    stop = 2 * EPOCHS + 1
    assert same(advance(uninterrupted, k, stop), advance(resumed, k, stop))
    assert same(uninterrupted.state_dict(), resumed.state_dict())


def saved_and_loaded(state: dict[str, Any]) -> dict[str, Any]:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


def test_a_state_of_an_earlier_pyramid_scale_is_restored_and_reseeded() -> None:
    engine = OneShot(make_run(), CPU)
    advance(engine, 0, 1)
    early = saved_and_loaded(engine.state_dict())
    losses = advance(engine, 1, EPOCHS + 2)
    engine.load_state_dict(saved_and_loaded(early))
    assert same(advance(engine, 1, EPOCHS + 2), losses)
    engine.load_state_dict(early)
    engine.reseed(1)
    assert not same(advance(engine, 1, EPOCHS + 2), losses)


def test_writing_samples_changes_no_state(tmp_path: Path) -> None:
    engine = OneShot(make_run(), CPU)
    advance(engine, 0, EPOCHS)
    before = saved_and_loaded(engine.state_dict())
    engine.observe(EPOCHS - 1, tmp_path)
    assert not (tmp_path / "samples").exists()
    engine.observe(EPOCHS, tmp_path)
    assert same(before, engine.state_dict())
    assert Image.open(tmp_path / "samples" / "scale-00.png").height == engine.pyramid.sizes[-1][0]


def test_a_complete_run_and_its_export_are_equal(tmp_path: Path) -> None:
    run = make_run(epochs_per_scale=2)
    engine = OneShot(run, CPU)
    run_loop(engine, run, tmp_path / "out", tmp_path / "state", Data("d" * 64, None))
    names = {path.name for path in (tmp_path / "out" / "samples").iterdir()}
    rows = {f"scale-{scale:02d}.png" for scale in range(SCALES)}
    pictures = {"training.png", "reconstruction.png", "bicubic.png", "sample_000.png", "sample_001.png"}
    assert names == rows | pictures
    loaded = load_weights(tmp_path / "out" / WEIGHTS)
    assert torch.allclose(loaded.reconstruct(), engine.pyramid.reconstruct())
    assert torch.equal(loaded.coarsest, engine.reals[0])


def test_an_error_for_a_small_image_names_the_sizes_and_the_data() -> None:
    with pytest.raises(InputError, match=r"waves-full: image of 60x72 px .* needs 61 px"):
        OneShot(make_run(min_size=61, max_size=250), CPU)


def test_a_coarsest_image_that_the_critic_cannot_process_is_refused_before_training() -> None:
    with pytest.raises(InputError, match=r"recipe\.min_size 5: the critic cannot process the coarsest image of 5x6 px"):
        OneShot(make_run(min_size=5, scale_factor=0.5), CPU)
    assert OneShot(make_run(min_size=11, scale_factor=0.5), CPU).step(0)


def test_samples_that_do_not_fit_are_refused_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_memory_bytes", lambda: 2**28)
    with pytest.raises(InputError, match=r"recipe\.n_samples 1000000: the samples: at least .* GiB of memory"):
        OneShot(make_run(n_samples=10**6), CPU)


def test_more_than_one_image_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.data.datasets.load_images", lambda folder: torch.zeros(2, 3, 60, 60, dtype=torch.uint8))
    with pytest.raises(InputError, match="one image, but this one has 2"):
        oneshot.load_image(make_run())
