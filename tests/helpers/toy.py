"""A small engine with all parts of a real one: network, Adam, EMA, random generator, epoch order."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.run import ClassificationRecipe, Compute, DataSpec, Evaluation, ModelSpec, Run
from bench.runtime.rng import batch_indices, generator, seed_global_generator
from bench.train.ema import Ema

DATA_SHA = "d" * 64


def toy_run(**compute: Any) -> Run:
    values = {"device": "cpu", "log_every": 2, "checkpoint_seconds": 1e9, **compute}
    return Run(
        scale="tiny",
        experiment="toy",
        dataset="none",
        seed=3,
        task="classification",
        model=ModelSpec(name="toy"),
        data=DataSpec(path="nowhere"),
        recipe=ClassificationRecipe(epochs=1, warmup_epochs=0),
        evaluation=Evaluation(metrics=("params",)),
        compute=Compute(**values),
    )


class ToyEngine:
    unit = "step"
    images_per_step = 4

    def __init__(self, run: Run, device: torch.device, total_steps: int = 12):
        self.run, self.device, self.total_steps, self.stream = run, device, total_steps, 0
        with seed_global_generator(run.seed):
            self.net = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 1))
        self.data = torch.randn(10, 3, generator=generator("cpu", run.seed, "data"))
        self.noise = generator("cpu", run.seed, "noise", 0)
        self.optimiser = torch.optim.Adam(self.net.parameters(), 1e-2, fused=True)
        self.ema = Ema(self.net, 0.9)
        self.poison: set[tuple[int, int]] = set()  # (stream, step) whose loss becomes NaN

    def step(self, index: int) -> dict[str, Tensor]:
        batch = self.data[batch_indices(10, 4, index, self.run.seed, "order", self.stream)]
        batch = batch + 0.1 * torch.randn(batch.shape, generator=self.noise)
        loss = (self.net(batch) - batch.sum(1, keepdim=True)).square().mean()
        if (self.stream, index) in self.poison:
            loss = loss * float("nan")
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        self.ema.update()
        return {"loss": loss.detach()}

    def learning_rates(self) -> dict[str, float]:
        return {"lr": self.optimiser.param_groups[0]["lr"]}

    def state_dict(self) -> dict[str, Any]:
        return {
            "net": self.net.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "ema": self.ema.state_dict(),
            "noise": self.noise.get_state(),
            "stream": self.stream,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.net.load_state_dict(state["net"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.ema.load_state_dict(state["ema"])
        self.noise.set_state(state["noise"])
        self.stream = state["stream"]

    def reseed(self, rollback: int) -> None:
        self.stream = rollback
        self.noise = generator("cpu", self.run.seed, "noise", rollback)

    def observe(self, done: int, out: Path) -> None:
        if done in (0, 6):
            (out / "samples").mkdir(exist_ok=True)
            (out / "samples" / f"{done}.txt").write_text("seen")

    def export(self, out: Path) -> dict[str, Any]:
        from bench.export import save_weights

        save_weights(out / "model.safetensors", self.ema.averaged(), {"name": "toy", "args": {}})
        return {"protocol": "toy"}
