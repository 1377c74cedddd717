"""Engine for supervised training of a classifier, with any network, data source and number of processes.

The learning rate and the random numbers depend on the global batch, not on the number of processes or micro-batches.
With several processes, batch norm uses the statistics of the global batch (see distributed.py). With micro-batches
(after an out-of-memory error), batch norm uses the statistics of each micro-batch, and model.json records the
micro-batch size.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.data.augment import Normalise, augment, cutmix, draw_lambda, mixup
from bench.data.inputs import open_inputs
from bench.errors import InputError
from bench.export import WEIGHTS, create_seeded, save_weights
from bench.run import ClassificationRecipe, Run
from bench.runtime.rng import generator
from bench.train.classification import distributed
from bench.train.classification.schedule import learning_rate, make_optimiser
from bench.train.ema import Ema
from bench.train.loop.engine import NETWORK_COPIES
from bench.train.loop.micro_batches import couples_images, largest_that_fits
from bench.train.loop.recovery import gradient_norm

MIN_MICRO_BATCH = 16  # with fewer images, batch norm statistics are too noisy


class Classification:
    """Engine of the classification task. A step is one optimiser step on a global batch."""

    unit = "step"

    def __init__(self, run: Run, device: torch.device) -> None:
        assert isinstance(run.recipe, ClassificationRecipe)
        self.run, self.device, self.recipe = run, device, run.recipe
        self.rows = distributed.local_rows(self.recipe.batch_size)
        self.images_per_step = self.recipe.batch_size
        if self.recipe.mixup or self.recipe.cutmix:
            distributed.check_even(self.rows)
        data = open_inputs(run, device, self.rows)
        self.batches, self.holdout, self.statistics = data.batches, data.holdout, data.statistics
        self.total_steps = self.recipe.epochs * self.batches.steps_per_epoch
        self.classes, self.normalise = data.classes, Normalise(data.statistics, device)
        self.spec = complete_spec(run, data.channels, data.classes)
        self.model = create_seeded(self.spec, run.seed, copies=NETWORK_COPIES).to(
            device, memory_format=torch.channels_last
        )
        self.model = distributed.synchronise_norms(self.model)
        self.ema = None if self.recipe.ema_decay is None else Ema(self.model, self.recipe.ema_decay)
        self.net = distributed.data_parallel(self.model)
        if run.compute.compile:
            self.net = torch.compile(self.net)
        self.optimiser = make_optimiser(self.recipe, self.model.parameters())
        self.parts, self.rollback = 1, 0
        self.best: dict[str, Any] = {}

    def step(self, index: int) -> dict[str, Tensor]:
        images, labels = self.batches.batch(index)
        random = generator("cpu", self.run.seed, "augmentation", self.rollback, index)
        inputs, targets = self._augmented(images, labels, random)
        rate = learning_rate(self.recipe, index, self.batches.steps_per_epoch)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.net.train()
        self.optimiser.zero_grad(set_to_none=True)
        scalars = self._gradients(inputs, targets, labels)
        norm = gradient_norm(self.model)
        self.optimiser.step()
        if self.ema is not None:
            self.ema.update()
        result = {**distributed.mean_over_processes(scalars), "gradient_norm": norm}
        if self.holdout is not None and (index + 1) % self.batches.steps_per_epoch == 0:
            result["holdout_top1"] = self._select(index + 1)
        return result

    def _augmented(self, images: Tensor, labels: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return inputs, and targets as labels [B] or, with mixup or cutmix, as class probabilities [B, classes]."""
        kind = "none" if self.batches.cropped else self.recipe.augment
        inputs = self.normalise(augment(images, kind, random, self.rows)).contiguous(memory_format=torch.channels_last)
        alphas = {"mixup": self.recipe.mixup, "cutmix": self.recipe.cutmix}
        active = [name for name, alpha in alphas.items() if alpha]
        if not active:
            return inputs, labels
        name = active[int(torch.randint(len(active), (), generator=random))]
        weight = draw_lambda(alphas[name], random)
        targets = F.one_hot(labels, self.classes).float()
        return mixup(inputs, targets, weight) if name == "mixup" else cutmix(inputs, targets, weight, random)

    def _gradients(self, inputs: Tensor, targets: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Compute the gradients of the mean loss over the batch in `parts` micro-batches. Return loss and top-1."""
        loss_sum, right = inputs.new_zeros(()), inputs.new_zeros(())
        chunks = (value.chunk(self.parts) for value in (inputs, targets, labels))
        for part, target, label in zip(*chunks, strict=True):
            with self._autocast():
                logits = self.net(part).float()
                loss = F.cross_entropy(logits, target, label_smoothing=self.recipe.label_smoothing)
            loss = loss * (len(part) / len(inputs))
            loss.backward()
            loss_sum += loss.detach()
            right += (logits.detach().argmax(1) == label).sum()
        return {"loss": loss_sum, "train_top1": 100 * right / len(labels)}

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.run.compute.precision == "bf16")

    def _trained(self) -> torch.nn.Module:
        return self.model if self.ema is None else self.ema.averaged()

    @torch.no_grad()
    def _select(self, done: int) -> Tensor:
        """Return the top-1 accuracy on the held-out training images and keep the weights of the best epoch."""
        model, right = self._trained().eval(), 0
        images, labels = self.holdout
        for part, label in zip(images.split(500), labels.split(500), strict=True):
            part, label = part.to(self.device), label.to(self.device)
            with self._autocast():
                right += (model(self.normalise(part)).argmax(1) == label).sum()
        top1 = 100 * right / len(labels)
        if not self.best or float(top1) > self.best["holdout_top1"]:
            weights = {name: value.detach().clone() for name, value in model.state_dict().items()}
            epoch = done // self.batches.steps_per_epoch
            self.best = {"epoch": epoch, "holdout_top1": float(top1), "weights": weights}
        return top1

    def learning_rates(self) -> dict[str, float]:
        return {"learning_rate": self.optimiser.param_groups[0]["lr"]}

    def state_dict(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "ema": None if self.ema is None else self.ema.state_dict(),
            "rollback": self.rollback,
            "parts": self.parts,
            "best": self.best,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.ema is not None:
            self.ema.load_state_dict(state["ema"])
        self.parts = max(self.parts, state["parts"])
        self.best = state["best"]
        self.reseed(state["rollback"])

    def reseed(self, rollback: int) -> None:
        self.rollback = rollback
        self.batches.reseed(rollback)

    @property
    def micro_batch(self) -> int:
        """Number of images per forward pass."""
        return math.ceil((self.rows.stop - self.rows.start) / self.parts)

    def shrink(self, error: BaseException) -> str | None:
        """Halve the micro-batch and return a message, or None if batch norm would have too few images."""
        size = math.ceil(self.micro_batch / 2)
        if size < MIN_MICRO_BATCH:
            return None
        self.parts *= 2
        self.optimiser.zero_grad(set_to_none=True)
        return f"micro-batch {size} (batch norm statistics over {size} images)"

    def size_that_fits(self) -> str:
        """Return the largest batch size whose step fits in memory. Training cannot continue afterwards."""
        images, labels = self.batches.batch(0)
        random = generator("cpu", self.run.seed, "augmentation", self.rollback, 0)
        inputs, targets = self._augmented(images, labels, random)

        def attempt(batch: int) -> None:
            self.optimiser.zero_grad(set_to_none=True)
            self._gradients(inputs[:batch], targets[:batch], labels[:batch])
            self.optimiser.step()

        self.net.train()
        too_large, self.parts = self.micro_batch, 1
        batch = largest_that_fits(too_large, attempt, smallest=2)
        if batch is None:
            return "no batch of 2 or more images fits; use a smaller network or image"
        reason = f"{couples_images(self.model)} needs at least {MIN_MICRO_BATCH} images in one pass; "
        measured = f"set recipe.batch_size to {batch}, the largest batch that fits"
        return (reason if couples_images(self.model) else "") + measured

    def observe(self, done: int, out: Any) -> None:
        """Do nothing, because a classifier has no samples."""

    def export(self, out: Any) -> dict[str, Any]:
        model = self._trained()
        save_weights(out / WEIGHTS, model, self.spec)
        fields = {
            "protocol": "ema" if self.ema is not None else "last",
            "normalise": {"mean": list(self.statistics.mean), "std": list(self.statistics.std)},
            "processes": distributed.world_size(),
            "micro_batch": self.micro_batch,
        }
        if self.best:
            model.load_state_dict(self.best["weights"])
            save_weights(out / "best" / WEIGHTS, model, self.spec)
            fields["best"] = {key: self.best[key] for key in ("epoch", "holdout_top1")}
        return fields


def complete_spec(run: Run, channels: int, classes: int) -> dict[str, Any]:
    """Return the run's network with the data's channels and classes. Raises InputError if run.json contradicts them."""
    args = dict(run.model.args)
    for key, value in {"in_channels": channels, "num_classes": classes}.items():
        if args.setdefault(key, value) != value:
            raise InputError(f"{run.name}: model.args.{key} is {args[key]}, but {run.dataset} has {value}")
    return {"name": run.model.name, "args": args}
