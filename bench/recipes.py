"""What a run is trained with, scored by and computed with: the meaning of every key, and where its default is from.

The descriptions become config/schemas/*.json and docs/reference/configuration.md: `slim-bench schema` writes both.
"""

from functools import partial
from typing import Any, Literal

from pydantic import Field

from bench.schema import Beta, Metrics, Positive, PositiveFloat, Share, Strict, Task

OPERATIONAL = {"operational": True}
"""Mark of keys that change when something is written, and nothing of the result: the run hash leaves them out."""

MARKS = {
    "confirmed": "in the authors' release, or in another source that is named",
    "inferred": "our reading of what is known",
    "ours": "our choice; nothing is known of the authors'",
}
"""Where a value of the protocol comes from. No other number is given as published."""


def _marked(mark: str, default: Any, description: str, operational: bool = False, **limits: Any) -> Any:
    extra: dict[str, Any] = {"mark": mark} | (OPERATIONAL if operational else {})
    return Field(default, description=description, json_schema_extra=extra, **limits)


confirmed, inferred, ours = (partial(_marked, mark) for mark in MARKS)
TASK = "names the recipe; filled in from the experiment"


class FewShotRecipe(Strict):
    """FastGAN's training; the defaults are those of the paper's authors where they are confirmed."""

    task: Literal["fewshot"] = Field("fewshot", description=TASK)
    steps: Positive = confirmed(..., "steps of both networks: 70,000 at 256 px and 75,000 at 1024 px in the protocol")
    batch_size: Positive = confirmed(8, "images of a step")
    learning_rate: PositiveFloat = confirmed(2e-4, "Adam's, of both networks; 1e-4 for panda and FFHQ in the protocol")
    adam_betas: tuple[Beta, Beta] = confirmed((0.5, 0.999), "Adam's decay rates")
    augment: tuple[Literal["color", "translation", "cutout"], ...] = confirmed(
        ("color", "translation"), "parts of DiffAugment, on real and generated images"
    )
    flip: bool = confirmed(True, "mirror training images at random")
    ema_decay: Share = confirmed(0.999, "decay of the averaged generator's parameters, a step")
    ema_warmup: bool = ours(False, "decay min(ema_decay, (1+t)/(10+t)): for runs of a few hundred steps")
    perceptual: Literal["lpips-vgg16", "efflite0"] = confirmed(
        "lpips-vgg16", "loss of the discriminator's decoders; efflite0, ours, needs no download"
    )
    decoder_scaled: bool = confirmed(
        False, "true, ours: decoder widths times base_channels/64, output min(128, size); false: 128 px, fixed widths"
    )
    snapshots: int = inferred(
        0, "exports evenly over the run, scanned for the best; the authors probably scan every 10,000 steps", ge=0
    )
    strips: int = ours(6, "sample grids evenly spaced over the run", operational=True, ge=0)


class OneShotRecipe(Strict):
    """SinGAN's training, one pyramid scale after another."""

    task: Literal["oneshot"] = Field("oneshot", description=TASK)
    epochs_per_scale: Positive = confirmed(2000, "epochs of each scale of the pyramid")
    critic_steps: Positive = confirmed(3, "critic steps of an epoch")
    generator_steps: Positive = confirmed(3, "generator steps of an epoch")
    learning_rate: PositiveFloat = confirmed(5e-4, "Adam's, of both networks")
    adam_betas: tuple[Beta, Beta] = confirmed((0.5, 0.999), "Adam's decay rates")
    decay_at: Share = confirmed(0.8, "share of a scale's epochs after which the learning rate is divided by 10")
    min_size: Positive = confirmed(25, "pixels of the coarsest scale's shorter side")
    max_size: Positive = confirmed(250, "pixels of the finest scale's longer side, at most")
    scale_factor: float = confirmed(0.75, "size of a scale over the next finer one, re-fitted to the image", gt=0, lt=1)
    gradient_penalty: float = confirmed(0.1, "weight of WGAN-GP's penalty", ge=0)
    reconstruction_weight: float = confirmed(10.0, "weight of the reconstruction's mean squared error", ge=0)
    noise_amplitude: PositiveFloat = confirmed(0.1, "noise of a scale, times the RMSE of its reconstruction")
    n_samples: Positive = confirmed(25, "samples drawn and scored, none picked")


class ClassificationRecipe(Strict):
    """Supervised training of a classifier; inferred values are the ImageNet recipe of a sibling project of that lab."""

    task: Literal["classification"] = Field("classification", description=TASK)
    epochs: Positive = inferred(120, "passes over the training images")
    batch_size: Positive = ours(256, "global batch over all processes")
    optimiser: Literal["sgd", "adamw"] = inferred("sgd", "sgd with momentum, or adamw; a cosine schedule in both")
    learning_rate: PositiveFloat = inferred(0.1, "per 256 images, scaled linearly with the global batch")
    momentum: Share = inferred(0.9, "of sgd")
    weight_decay: float = inferred(1e-4, "of all parameters", ge=0)
    warmup_epochs: int = inferred(5, "epochs over which the learning rate rises linearly", ge=0)
    label_smoothing: Share = ours(0.0, "share of the target given to all classes; 0 is off")
    mixup: float = ours(0.0, "alpha of the beta distribution; 0 is off", ge=0)
    cutmix: float = ours(0.0, "alpha of the beta distribution; 0 is off", ge=0)
    ema_decay: Share | None = ours(None, "decay of averaged parameters, a step; null: none are averaged")
    augment: Literal["imagenet", "small", "none"] = inferred(
        "imagenet",
        "imagenet: random resized crop and flip; small: crop from 4 px of zero padding and flip, for 32 px",
    )
    holdout: int = ours(0, "training images (or whole shards) set aside to select the best epoch", ge=0)


RECIPES: dict[Task, type[Strict]] = {
    "fewshot": FewShotRecipe,
    "oneshot": OneShotRecipe,
    "classification": ClassificationRecipe,
}


class Evaluation(Strict):
    """What is scored, and the sampling protocol of the scores."""

    metrics: Metrics = Field(description="names of metrics: docs/reference/metrics.md explains each")
    n_fake: Positive | None = confirmed(
        None, "generated images of few-shot scores (4,992 in the protocol's loop); null for one-shot: recipe.n_samples"
    )
    batch_size: Positive = confirmed(16, "images generated at once, which counts as batch norms use batch statistics")
    latent_seed: int = ours(0, "seed of the generated images", ge=0)


class Compute(Strict):
    """How the numbers are computed. `threads` is part of the result on CPU: bit-equality holds at equal counts only."""

    device: Literal["auto", "cpu", "cuda"] = ours("auto", "auto: a GPU where there is one")
    precision: Literal["float32", "bf16"] = ours(
        "float32", "float32, without TF32; bf16: forward passes under autocast"
    )
    compile: bool = ours(False, "networks through torch.compile; SinGAN's critic never")
    cuda_graphs: bool = ours(False, "few-shot and one-shot on a GPU: record a step once, then replay it")
    threads: Positive | None = ours(None, "threads on a CPU; null: as many as torch takes")
    checkpoint_seconds: PositiveFloat = ours(120.0, "seconds between two checkpoints", operational=True)
    log_every: Positive = ours(10, "steps between two rows of history.csv", operational=True)
