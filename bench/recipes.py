"""Recipes, evaluation and compute settings of a run, with the meaning of every key and the source of its default.

`slim-bench schema` writes the descriptions to config/schemas/*.json and docs/reference/configuration.md.
"""

from functools import partial
from typing import Any, Literal

from pydantic import Field

from bench.schema import (
    BatchSize,
    Beta,
    Images,
    Metrics,
    Pixels,
    PositiveFloat,
    Seed,
    Share,
    Steps,
    Strict,
    Task,
    Threads,
)

OPERATIONAL = {"operational": True}
"""Mark of keys that affect when files are written, but not the result. The run hash excludes these keys."""

MARKS = {
    "confirmed": "taken from the authors' release, or from another named source",
    "inferred": "our interpretation of incomplete sources",
    "ours": "our choice; the authors' value is not known",
}
"""The possible sources of a protocol value. No other number is presented as published."""


def _marked(mark: str, default: Any, description: str, operational: bool = False, **limits: Any) -> Any:
    extra: dict[str, Any] = {"mark": mark} | (OPERATIONAL if operational else {})
    return Field(default, description=description, json_schema_extra=extra, **limits)


confirmed, inferred, ours = (partial(_marked, mark) for mark in MARKS)
TASK = "selects the recipe; set from the experiment"


class FewShotRecipe(Strict):
    """Training of FastGAN. Confirmed defaults were taken from the paper's authors."""

    task: Literal["fewshot"] = Field("fewshot", description=TASK)
    steps: Steps = confirmed(..., "training steps; the protocol uses 70,000 at 256 px and 75,000 at 1024 px")
    batch_size: BatchSize = confirmed(8, "images per step")
    learning_rate: PositiveFloat = confirmed(
        2e-4, "learning rate of Adam for both networks; the protocol uses 1e-4 for panda and FFHQ"
    )
    adam_betas: tuple[Beta, Beta] = confirmed((0.5, 0.999), "beta_1 and beta_2 of Adam")
    augment: tuple[Literal["color", "translation", "cutout"], ...] = confirmed(
        ("color", "translation"), "DiffAugment transforms, applied to real and generated images"
    )
    flip: bool = confirmed(True, "random horizontal flips of training images")
    ema_decay: Share = confirmed(0.999, "decay per step of the generator's EMA weights")
    ema_warmup: bool = ours(False, "use the decay min(ema_decay, (1+t)/(10+t)), for runs of a few hundred steps")
    perceptual: Literal["lpips-vgg16", "efflite0"] = confirmed(
        "lpips-vgg16", "reconstruction loss of the discriminator's decoders; efflite0 (ours) needs no download"
    )
    decoder_scaled: bool = confirmed(
        False,
        "true (ours): decoder widths scaled by base_channels/64, output min(128, size) px; false: fixed, 128 px",
    )
    snapshots: int = inferred(
        0,
        "evenly spaced exports from which `best` is selected; the authors probably evaluate every 10,000 steps",
        ge=0,
        le=10_000,
    )
    strips: int = ours(6, "evenly spaced image grids of samples during training", operational=True, ge=0, le=10_000)


class OneShotRecipe(Strict):
    """Training of SinGAN, one pyramid scale after another."""

    task: Literal["oneshot"] = Field("oneshot", description=TASK)
    epochs_per_scale: Steps = confirmed(2000, "epochs per pyramid scale")
    critic_steps: Steps = confirmed(3, "critic steps per epoch")
    generator_steps: Steps = confirmed(3, "generator steps per epoch")
    learning_rate: PositiveFloat = confirmed(5e-4, "learning rate of Adam for both networks")
    adam_betas: tuple[Beta, Beta] = confirmed((0.5, 0.999), "beta_1 and beta_2 of Adam")
    decay_at: Share = confirmed(0.8, "fraction of a scale's epochs after which the learning rate is divided by 10")
    min_size: Pixels = confirmed(25, "shorter side of the coarsest scale, in pixels")
    max_size: Pixels = confirmed(250, "maximum longer side of the finest scale, in pixels")
    scale_factor: float = confirmed(
        0.75, "size ratio of a scale to the next finer one, adjusted to the image", gt=0, lt=1
    )
    gradient_penalty: float = confirmed(0.1, "weight of the WGAN-GP gradient penalty", ge=0)
    reconstruction_weight: float = confirmed(10.0, "weight of the mean squared reconstruction error", ge=0)
    noise_amplitude: PositiveFloat = confirmed(
        0.1, "noise amplitude of a scale, as a multiple of its reconstruction RMSE"
    )
    n_samples: Images = confirmed(25, "uncurated samples to generate and score")


class ClassificationRecipe(Strict):
    """Training of a classifier. Inferred values were taken from a related ImageNet project of the authors' lab."""

    task: Literal["classification"] = Field("classification", description=TASK)
    epochs: Steps = inferred(120, "epochs over the training set")
    batch_size: BatchSize = ours(256, "global batch size over all processes")
    optimiser: Literal["sgd", "adamw"] = inferred("sgd", "sgd (with momentum) or adamw; both use a cosine schedule")
    learning_rate: PositiveFloat = inferred(
        0.1, "learning rate per 256 images, scaled linearly with the global batch size"
    )
    momentum: Share = inferred(0.9, "momentum of sgd")
    weight_decay: float = inferred(1e-4, "weight decay of all parameters", ge=0)
    warmup_epochs: int = inferred(5, "epochs of linear learning-rate warm-up", ge=0)
    label_smoothing: Share = ours(0.0, "label smoothing; 0 disables it")
    mixup: float = ours(0.0, "alpha of the beta distribution; 0 disables it", ge=0)
    cutmix: float = ours(0.0, "alpha of the beta distribution; 0 disables it", ge=0)
    ema_decay: Share | None = ours(None, "decay per step of the EMA weights; null: no EMA")
    augment: Literal["imagenet", "small", "none"] = inferred(
        "imagenet",
        "imagenet: random resized crop, flip; small (32 px): random crop with 4 px of zero padding, flip",
    )
    holdout: int = ours(0, "held-out training images (or whole shards) that select the best epoch", ge=0)


RECIPES: dict[Task, type[Strict]] = {
    "fewshot": FewShotRecipe,
    "oneshot": OneShotRecipe,
    "classification": ClassificationRecipe,
}


class Evaluation(Strict):
    """Metrics, and the sampling protocol of the scores."""

    metrics: Metrics = Field(description="names of metrics; docs/reference/metrics.md defines each")
    n_fake: Images | None = confirmed(
        None,
        "generated images of few-shot scores (the protocol uses 4,992); null for one-shot, which uses recipe.n_samples",
    )
    batch_size: BatchSize = confirmed(
        16, "batch size of generation; it affects scores, because batch norm uses batch statistics"
    )
    latent_seed: Seed = ours(0, "seed of the latents")


class Compute(Strict):
    """Device, precision and speed. On a CPU, results are bit-equal only for equal `threads`."""

    device: Literal["auto", "cpu", "cuda"] = ours("auto", "auto: a GPU if available, otherwise the CPU")
    precision: Literal["float32", "bf16"] = ours(
        "float32", "float32: without TF32; bf16: forward passes under autocast"
    )
    compile: bool = ours(False, "compile networks with torch.compile, except SinGAN's critic")
    cuda_graphs: bool = ours(
        False, "few-shot and one-shot on a GPU: capture a training step as a CUDA graph and replay it"
    )
    threads: Threads | None = ours(None, "CPU threads; null: torch's default")
    checkpoint_seconds: PositiveFloat = ours(120.0, "seconds between checkpoints", operational=True)
    log_every: Steps = ours(10, "steps between rows of history.csv", operational=True)
