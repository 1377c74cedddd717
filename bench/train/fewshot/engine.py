"""Few-shot engine: training of FastGAN (Liu et al. 2021, arXiv 2101.04775) with any gates in the generator.

A step uses one batch of real images and one batch of generated images. The discriminator step minimises the sum of a
random-margin hinge loss on both batches and the perceptual loss of three decoders on the real images. The two batches
are processed in separate passes, so that their batch statistics do not mix. The generator step then minimises
-mean(logits) of the same generated images, and the moving average of the generator is updated. Augmentation parameters
are drawn separately for each of the two sizes of generated images.

Batch norm couples the images of a pass, so generator and discriminator process the whole batch in one pass. After an
out-of-memory error, only the perceptual network processes micro-batches.
"""

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.errors import InputError
from bench.export import WEIGHTS, batch_statistics, create_seeded, save_weights
from bench.networks import GeneratorNetwork, check_members
from bench.run import FewShotRecipe, Run
from bench.runtime.images import save_grid, to_signed
from bench.runtime.rng import batch_indices, derive, generator
from bench.train.ema import Ema
from bench.train.fewshot.diffaugment import DiffAugment
from bench.train.fewshot.losses import RandomMarginHinge
from bench.train.fewshot.perceptual import perceptual_loss
from bench.train.loop.engine import NETWORK_COPIES
from bench.train.loop.graphs import WARM_UP, Replayed, recorder, uses_graphs
from bench.train.loop.micro_batches import largest_that_fits
from bench.train.loop.recovery import gradient_norm

STREAMS = ("latents", "augment", "margin", "part")
COLUMNS, GRID = 8, 64


class FewShot:
    """Engine for bench.train.loop.loop that trains on a dataset whose images have the same size."""

    unit = "step"

    def __init__(self, run: Run, device: torch.device):
        assert isinstance(run.recipe, FewShotRecipe)
        self.run, self.device, self.recipe = run, device, run.recipe
        self.total_steps, self.images_per_step = self.recipe.steps, self.recipe.batch_size
        self.micro_batch = self.recipe.batch_size  # images in one pass of the perceptual network
        self.images = load_training_images(run).to(device)  # uint8 [N, 3, S, S], augmented on the device
        self.spec = run.model.model_dump(mode="json")
        # on a CPU the weights are not channels_last, because spectral norm would copy each weight to reshape it
        layout = {"memory_format": torch.channels_last if device.type == "cuda" else torch.preserve_format}
        self.generator = create_seeded(self.spec, run.seed, copies=NETWORK_COPIES).to(device, **layout).train()
        self._check_size()
        self.discriminator = create_seeded(discriminator_spec(run), run.seed, "discriminator", copies=NETWORK_COPIES)
        self.discriminator = self.discriminator.to(device, **layout).train()
        self.order = torch.zeros(self.recipe.batch_size, dtype=torch.int64, device=device)  # image indices of the batch
        self.perceptual = perceptual_loss(self.recipe.perceptual, device)
        self.ema = Ema(self.generator, self.recipe.ema_decay, self.recipe.ema_warmup)
        self.ema.model.eval()
        adam = {"lr": self.recipe.learning_rate, "betas": self.recipe.adam_betas, "fused": True}
        adam["capturable"] = uses_graphs(run.compute, device)
        self.optimisers = {
            "generator": torch.optim.Adam(self.generator.parameters(), **adam),
            "discriminator": torch.optim.Adam(self.discriminator.parameters(), **adam),
        }
        compiled = torch.compile if run.compute.compile else lambda module: module
        self.generate, self.discriminate = compiled(self.generator), compiled(self.discriminator)
        self.reseed(0)

    def reseed(self, rollback: int) -> None:
        """Seed all random streams from (seed, rollback). The quadrant is drawn on the CPU, where its number is used."""
        self.stream = rollback
        self.streams = {
            name: generator("cpu" if name == "part" else self.device, self.run.seed, name, rollback) for name in STREAMS
        }
        self.augment = DiffAugment(self.recipe.augment, self.streams["augment"])
        self.hinge = RandomMarginHinge(self.streams["margin"])
        drawn_from = [self.streams[name] for name in STREAMS if name != "part"]
        self.compute = Replayed(self._compute, recorder(self.run.compute, self.device, drawn_from))

    def step(self, index: int) -> dict[str, Tensor]:
        self._choose_images(index)
        part = int(torch.randint(4, (), generator=self.streams["part"]))
        with self._layer_noise("step", self.stream, index):
            scalars = self.compute(part)
        self.ema.update()
        return scalars

    def _compute(self, part: int) -> dict[str, Tensor]:
        """Run the part of a step that needs only the device and can be recorded as a CUDA graph."""
        shape = (self.recipe.batch_size, self.generator.latent_dim)
        latents = torch.randn(shape, generator=self.streams["latents"], device=self.device)
        with self._autocast():
            fakes = [self.augment(fake) for fake in self.generate(latents)]
        real = self.augment(self._batch())
        return {**self._discriminator_step(real, fakes, part), **self._generator_step(fakes)}

    def _choose_images(self, index: int) -> None:
        purpose = (self.run.seed, "order", self.stream)
        self.order.copy_(batch_indices(len(self.images), self.recipe.batch_size, index, *purpose))

    def _batch(self) -> Tensor:
        """Return this step's real images [B, 3, S, S] in -1..1. With `flip`, each is flipped with probability 1/2."""
        images = to_signed(self.images[self.order])
        if self.recipe.flip:
            uniform = torch.rand(len(images), 1, 1, 1, generator=self.streams["augment"], device=self.device)
            images = torch.where(uniform < 0.5, images.flip(3), images)
        return images.contiguous(memory_format=torch.channels_last)

    def _discriminator_step(self, real: Tensor, fakes: list[Tensor], part: int) -> dict[str, Tensor]:
        optimiser = self.optimisers["discriminator"]
        optimiser.zero_grad(set_to_none=True)
        small = F.interpolate(real, self.discriminator.small_size, mode="nearest")
        with self._autocast():
            logits, decoded = self.discriminate(real, small, part)
            size = decoded.whole.shape[2]
            whole = F.interpolate(real, size, mode="nearest")
            quarter = F.interpolate(quadrant(real, part), size, mode="nearest")
            groups = [([decoded.whole, decoded.small], whole), ([decoded.part], quarter)]
            loss_decoded = self.perceptual(groups, self.micro_batch)
        loss_real = self.hinge.real(logits.float())
        (loss_real + loss_decoded).backward()
        with self._autocast():
            logits = self.discriminate(*(fake.detach() for fake in fakes))
        loss_fake = self.hinge.fake(logits.float())
        loss_fake.backward()
        norm = gradient_norm(self.discriminator)
        optimiser.step()
        losses = {"loss_real": loss_real, "loss_fake": loss_fake, "loss_reconstruction": loss_decoded}
        return {**{name: value.detach() for name, value in losses.items()}, "gradient_norm_d": norm}

    def _generator_step(self, fakes: list[Tensor]) -> dict[str, Tensor]:
        optimiser = self.optimisers["generator"]
        optimiser.zero_grad(set_to_none=True)
        with frozen(self.discriminator):  # unused gradients would cost a third of this backward pass
            with self._autocast():
                logits = self.discriminate(*fakes)
            loss = self.hinge.generator_loss(logits.float())
            loss.backward()
        norm = gradient_norm(self.generator)
        optimiser.step()
        return {"loss_g": loss.detach(), "gradient_norm_g": norm}

    def learning_rates(self) -> dict[str, float]:
        return {"learning_rate": self.recipe.learning_rate}

    def state_dict(self) -> dict[str, Any]:
        return {
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "optimisers": {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()},
            "ema": self.ema.state_dict(),
            "streams": {name: stream.get_state() for name, stream in self.streams.items()},
            "stream": self.stream,
            "micro_batch": self.micro_batch,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.load_state_dict(state["generator"])
        self.discriminator.load_state_dict(state["discriminator"])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        self.ema.load_state_dict(state["ema"])
        self.micro_batch = min(self.micro_batch, state.get("micro_batch", self.micro_batch))
        self.reseed(state["stream"])
        for name, stream in self.streams.items():
            stream.set_state(state["streams"][name])

    def shrink(self, error: BaseException) -> str | None:
        """Halve the micro-batch of the perceptual network and return a message, or None if it is already one image."""
        if self.micro_batch == 1:
            return None
        self.micro_batch = math.ceil(self.micro_batch / 2)
        self._drop_gradients()
        return (
            f"micro-batch {self.micro_batch} of the perceptual loss (generator and discriminator keep the whole batch)"
        )

    def size_that_fits(self) -> str:
        """Return the largest batch size whose step fits in memory. Training cannot continue afterwards."""
        # all recordings are made, because they need more memory than a single step
        tried = [part for part in range(4) for _ in range(WARM_UP + 1)] if self.compute.recorder else [0]

        def attempt(batch: int) -> None:
            self._drop_gradients()
            self.recipe = self.recipe.model_copy(update={"batch_size": batch})
            self.order = torch.zeros(batch, dtype=torch.int64, device=self.device)
            self.reseed(0)
            for part in tried:
                self.compute(part)

        self.micro_batch = 1
        reason = f"batch norm needs all {self.recipe.batch_size} images in one pass"
        batch = largest_that_fits(self.recipe.batch_size, attempt, smallest=2)
        if batch is None:
            return f"{reason}, and no batch of 2 or more fits; use a smaller network or image"
        return f"{reason}; set recipe.batch_size to {batch}, the largest batch that fits"

    def _drop_gradients(self) -> None:
        for optimiser in self.optimisers.values():
            optimiser.zero_grad(set_to_none=True)

    def observe(self, done: int, out: Path) -> None:
        """Write the outputs that are due: samples from fixed latents, and a snapshot of the averaged generator."""
        if done in evenly_spaced_steps(self.recipe.strips, self.total_steps, first=0):
            save_grid(out / "samples" / f"step-{done:07d}.png", self._samples(COLUMNS, "strip"), COLUMNS)
        if done in evenly_spaced_steps(self.recipe.snapshots, self.total_steps):
            save_weights(out / "snapshots" / f"step-{done:07d}.safetensors", self.ema.averaged(), self.spec)

    def export(self, out: Path) -> dict[str, Any]:
        """Write the averaged generator, and image grids of samples and of training images."""
        save_weights(out / WEIGHTS, self.ema.averaged(), self.spec)
        save_grid(out / "samples" / "grid.png", self._samples(GRID, "grid"), COLUMNS)
        save_grid(out / "samples" / "real.png", to_signed(self.images[:GRID]), COLUMNS)
        warmup = ", warm-up (1+t)/(10+t)" if self.recipe.ema_warmup else ""
        return {
            "perceptual": self.perceptual.name,
            "micro_batch": self.micro_batch,
            "protocol": f"EMA {self.recipe.ema_decay}{warmup} of parameters, buffers of the live network; "
            f"DiffAugment {','.join(self.recipe.augment) or 'none'}",
        }

    @torch.no_grad()
    def _samples(self, count: int, purpose: str) -> Tensor:
        """Return samples [count, 3, S, S] of the averaged generator from fixed latents, without changing state.

        The batch norms use batch statistics.
        """
        network, seed = self.ema.averaged(), self.run.evaluation.latent_seed
        shape = (count, self.generator.latent_dim)
        latents = torch.randn(shape, generator=generator("cpu", seed, purpose)).to(self.device)
        with self._layer_noise(purpose), batch_statistics(network):
            return torch.cat([network(part)[0].float() for part in latents.split(16)])

    @contextlib.contextmanager
    def _layer_noise(self, *purpose: str | int) -> Iterator[None]:
        """Seed torch's global generator for `purpose` within the block, and restore it afterwards.

        The networks draw their noise maps from this generator.
        """
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(derive(self.run.seed, "noise", *purpose))
            yield

    def _autocast(self) -> contextlib.AbstractContextManager:
        """Return autocast for forward passes. Each backward operation has the precision of its forward operation."""
        enabled = self.run.compute.precision == "bf16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled)

    def _check_size(self) -> None:
        check_members(self.generator, GeneratorNetwork, self.run.model.name)
        size = getattr(self.generator, "image_size", None)
        if size != self.images.shape[2]:
            raise InputError(
                f"{self.run.name}: model.args.image_size is {size}, but {self.run.data_folder} has images of "
                f"{self.images.shape[2]} px"
            )


def load_training_images(run: Run) -> Tensor:
    """Return the training images, uint8 [N, 3, S, S]. Raises InputError if the batch size exceeds N."""
    from bench.data import datasets

    images = datasets.load_images(run.data_folder)
    if run.recipe.batch_size > len(images):
        given = f"recipe.batch_size {run.recipe.batch_size}"
        raise InputError(f"{run.name}: {given} exceeds the {len(images)} images of {run.data_folder}")
    return images


def discriminator_spec(run: Run) -> dict[str, Any]:
    """Return the registry name and arguments of the discriminator, with the generator's image size and width."""
    sizes = {key: run.model.args[key] for key in ("image_size", "base_channels") if key in run.model.args}
    return {"name": "fastgan-discriminator", "args": {**sizes, "decoder_scaled": run.recipe.decoder_scaled}}


def quadrant(images: Tensor, part: int) -> Tensor:
    """Return quadrant 0..3 of [B, C, H, W], numbered row by row."""
    height, width = images.shape[2] // 2, images.shape[3] // 2
    row, column = height * (part // 2), width * (part % 2)
    return images[:, :, row : row + height, column : column + width]


@contextlib.contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    parameters = list(module.parameters())
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


def evenly_spaced_steps(count: int, total: int, first: int | None = None) -> set[int]:
    """Return `count` evenly spaced steps in 1..total, including `total`, and also the step `first` if given."""
    steps = {round(total * (k + 1) / count) for k in range(count)}
    return steps | {first} if first is not None and count else steps
