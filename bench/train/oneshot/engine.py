"""One-shot engine: training of SinGAN with or without SLIM, one pyramid scale after another.

A step of the loop is one epoch of a pyramid scale: `critic_steps` critic steps, each on a new sample, and
`generator_steps` generator steps on the last of these samples. All coarser pyramid scales are frozen.

After an out-of-memory error, the images of a pass are processed in smaller passes. No layer of SinGAN couples the
images of a pass, so only rounding changes. The passes of a network with layers that couple images are not split.
"""

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.errors import InputError
from bench.export import WEIGHTS, create_seeded, save_weights
from bench.networks import PyramidNetwork, check_members
from bench.run import OneShotRecipe, Run
from bench.runtime.images import save_png, save_row, to_signed
from bench.runtime.memory import check_memory, is_out_of_memory
from bench.runtime.rng import generator, seed_global_generator
from bench.train.loop.graphs import Replayed, recorder
from bench.train.loop.micro_batches import couples_images, fits
from bench.train.oneshot.scale import ScaleTraining, largest_pass


class OneShot:
    """Engine for bench.train.loop.loop that trains on a dataset of one image."""

    unit = "epoch"

    def __init__(self, run: Run, device: torch.device) -> None:
        assert isinstance(run.recipe, OneShotRecipe)
        self.run, self.device, self.recipe = run, device, run.recipe
        image = load_image(run)
        self.spec = model_spec(run, image)
        self.pyramid = create_pyramid(self.spec, run).to(device)
        self.reals = self.pyramid.training_images(to_signed(image).to(device))
        self._check_sizes()
        self.total_steps = self.recipe.epochs_per_scale * len(self.pyramid.sizes)
        self.images_per_step = self.recipe.critic_steps + self.recipe.generator_steps
        self.micro_batch = largest_pass(self.recipe)
        self.requested = 0  # pyramid scale of the last requested step, even if an error interrupted this step
        self.pyramid.coarsest.copy_(self.reals[0])
        self.pyramid.fixed_noise.copy_(self.pyramid.draw(0, 1, generator(device, run.seed, "fixed noise")))
        self.noise = generator(device, run.seed, "noise")
        self._train(self._open(0))

    def _check_sizes(self) -> None:
        """Raise InputError if the critic cannot process the coarsest image, or if the samples do not fit in memory."""
        height, width = self.pyramid.sizes[-1]
        if self.device.type == "cpu":
            bytes_each = 2 * 4 * self.pyramid.widths[-1] * height * width  # input and output of a layer
            count = self.recipe.n_samples
            check_memory(count * bytes_each, f"{self.run.name}: recipe.n_samples {count}: the samples")
        try:
            with torch.no_grad(), seed_global_generator(self.run.seed, "critic", 0):
                self.pyramid.new_critic(0).to(self.device)(self.reals[0])
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            size = "x".join(map(str, self.pyramid.sizes[0]))
            raise InputError(
                f"{self.run.name}: recipe.min_size {self.recipe.min_size}: the critic cannot process the coarsest "
                f"image of {size} px; set a larger min_size"
            ) from None

    def step(self, index: int) -> dict[str, Tensor]:
        scale, epoch = divmod(index, self.recipe.epochs_per_scale)
        self.requested = scale
        if scale != self.training.scale:
            self._begin(scale)
        decayed = epoch >= self.recipe.decay_at * self.recipe.epochs_per_scale
        if self.training.set_learning_rate(self.recipe.learning_rate * (0.1 if decayed else 1.0)):
            self.epoch.forget()
        return self.epoch()

    def _open(self, scale: int) -> ScaleTraining:
        with seed_global_generator(self.run.seed, "critic", scale):
            critic = self.pyramid.new_critic(scale).to(self.device)
        return ScaleTraining(self.pyramid, scale, critic, self.reals[scale], self.recipe, self.run.compute)

    def _train(self, training: ScaleTraining) -> None:
        self.training = training
        training.micro_batch = self.micro_batch
        record = recorder(self.run.compute, self.device, [self.noise])
        self.epoch = Replayed(lambda: train_epoch(training, self.noise), record)

    def _begin(self, scale: int) -> None:
        """Start training the pyramid scale `scale`. The critic and optimisers of the previous one are discarded."""
        below = self.training
        self._train(self._open(scale))
        self.training.set_amplitude()
        if self.pyramid.widths[scale] == self.pyramid.widths[scale - 1]:
            self.training.copy_from(below)

    def shrink(self, error: BaseException) -> str | None:
        """Halve the number of images in a pass and return a message, or None if it is 1 or a layer couples images."""
        if self.micro_batch == 1 or self._coupled():
            return None
        self.micro_batch = math.ceil(self.micro_batch / 2)
        self._drop_gradients()
        return f"micro-batch {self.micro_batch}"

    def _coupled(self) -> str | None:
        return couples_images(self.pyramid) or couples_images(self.training.critic)

    def _drop_gradients(self) -> None:
        for optimiser in (self.training.generator_optimiser, self.training.critic_optimiser):
            optimiser.zero_grad(set_to_none=True)

    def size_that_fits(self) -> str:
        """Return a message that suggests the size of the last trained pyramid scale, which fits, as `max_size`."""
        coupled, scale = self._coupled(), self.requested
        reason = f"{coupled} needs all images of a pass together" if coupled else "one image is processed at a time"
        size = "x".join(map(str, self.pyramid.sizes[scale]))
        if scale == 0:
            return f"{reason}, and the coarsest scale of {size} px does not fit; set a smaller recipe.min_size"
        below = self.pyramid.sizes[scale - 1]
        smaller = "x".join(map(str, below))
        return f"{reason}; the scale of {size} px does not fit; set recipe.max_size to {max(below)} ({smaller} px fits)"

    def ends_part(self, done: int) -> bool:
        """Return whether a pyramid scale ends after `done` steps. A checkpoint is saved at this point."""
        return done % self.recipe.epochs_per_scale == 0

    def learning_rates(self) -> dict[str, float]:
        return {"learning_rate": self.training.generator_optimiser.param_groups[0]["lr"], "scale": self.training.scale}

    def state_dict(self) -> dict[str, Any]:
        return {
            "scale": self.training.scale,
            "pyramid": self.pyramid.state_dict(),
            "training": self.training.state_dict(),
            "noise": self.noise.get_state(),
            "micro_batch": self.micro_batch,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.pyramid.load_state_dict(state["pyramid"])
        self.micro_batch = min(self.micro_batch, state.get("micro_batch", self.micro_batch))
        self._train(self._open(state["scale"]))
        self.training.load_state_dict(state["training"])
        self.noise.set_state(state["noise"].cpu())

    def reseed(self, rollback: int) -> None:
        self.noise = generator(self.device, self.run.seed, "noise", rollback)
        self._train(self.training)

    def observe(self, done: int, out: Path) -> None:
        """Write a row with the training image, its reconstruction and four samples at the end of a pyramid scale."""
        scales, epoch = divmod(done, self.recipe.epochs_per_scale)
        if not scales or epoch:
            return
        samples = self._sample(4, "strip", scales)
        images = [self.reals[scales - 1], self.pyramid.reconstruct(scales), *samples.split(1)]
        save_row(out / "samples" / f"scale-{scales - 1:02d}.png", images, self.pyramid.sizes[-1][0])

    def _draws(self, purpose: str) -> torch.Generator:
        """Return a random generator for samples that draws the same numbers on all devices.

        Drawing from it does not change the random stream of training.
        """
        return generator("cpu", self.run.evaluation.latent_seed, purpose)

    def _sample(self, n: int, purpose: str, scales: int | None = None) -> Tensor:
        """Return n samples [n, 3, H, W]. If they do not fit in memory together, they are generated in smaller parts."""
        samples = fits(lambda: self.pyramid.sample(n, self._draws(purpose), scales=scales))
        part = n
        while samples is None and part > 1 and couples_images(self.pyramid) is None:
            part = math.ceil(part / 2)
            samples = fits(lambda size=part: self._sample_parts(n, size, purpose, scales))
        return self.pyramid.sample(n, self._draws(purpose), scales=scales) if samples is None else samples[0]

    @torch.no_grad()
    def _sample_parts(self, n: int, size: int, purpose: str, scales: int | None) -> Tensor:
        random = self._draws(purpose)
        noises = [self.pyramid.draw(scale, n, random) for scale in range(scales or len(self.pyramid.sizes))]
        parts = zip(*(noise.split(size) for noise in noises), strict=True)
        return torch.cat([self.pyramid(part) for part in parts])

    def export(self, out: Path) -> dict[str, Any]:
        """Write the weights and, at the finest scale, training image, reconstruction, bicubic control and samples."""
        save_weights(out / WEIGHTS, self.pyramid, self.spec)
        folder = out / "samples"
        save_png(folder / "training.png", self.reals[-1])
        save_png(folder / "reconstruction.png", self.pyramid.reconstruct())
        save_png(folder / "bicubic.png", self.pyramid.bicubic())
        for index, sample in enumerate(self._sample(self.recipe.n_samples, "samples")):
            save_png(folder / f"sample_{index:03d}.png", sample)
        return {
            "protocol": "batch norm with the statistics of each image, in training and in samples",
            "micro_batch": self.micro_batch,
            "sizes": [list(size) for size in self.pyramid.sizes],
            "widths": list(self.pyramid.widths),
            "amplitudes": self.pyramid.amplitudes.tolist(),
        }


def train_epoch(training: ScaleTraining, source: torch.Generator) -> dict[str, Tensor]:
    """Take the critic steps, then the generator steps on the last sample, and return the losses of the last steps."""
    noise, previous = training.draw(training.recipe.critic_steps, source)
    shares = torch.rand(len(noise), generator=source, device=noise.device)
    for fake, share in zip(training.fakes(noise, previous).split(1), shares, strict=True):
        critic_losses = training.critic_step(fake, share)
    for _ in range(training.recipe.generator_steps):
        generator_losses = training.generator_step(noise[-1:], previous[-1:])
    return {**critic_losses, **generator_losses}


def load_image(run: Run) -> Tensor:
    """Return the image, uint8 [1, 3, H, W]. Raises InputError if the dataset has several images."""
    from bench.data.datasets import load_images

    images = load_images(run.data_folder)
    if images.shape[0] != 1:
        raise InputError(
            f"{run.data_folder}: one-shot training needs a dataset of one image, but this one has {images.shape[0]}"
        )
    return images


def model_spec(run: Run, image: Tensor) -> dict[str, Any]:
    """Return the network's registry name and arguments: run arguments, image size and limits of the pyramid."""
    height, width = image.shape[-2:]
    limits = {name: getattr(run.recipe, name) for name in ("min_size", "max_size", "scale_factor")}
    return {"name": run.model.name, "args": {**run.model.args, "height": height, "width": width, **limits}}


def create_pyramid(spec: dict[str, Any], run: Run) -> PyramidNetwork:
    try:
        pyramid = create_seeded(spec, run.seed)
    except InputError as error:
        if not isinstance(error.__cause__, ValueError):
            raise
        raise InputError(f"{run.data_folder}: {error.__cause__}") from None  # the cause is usually the image size
    check_members(pyramid, PyramidNetwork, run.model.name)
    return pyramid
