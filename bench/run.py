"""run.json: the complete resolved description of one run, the only configuration a job reads.

Pure data: this module imports no torch, since the plan builds runs whenever the Snakefile is parsed.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, model_validator

from bench.errors import InputError
from bench.files import read_json, sha256_json, write_json
from bench.paths import find_data
from bench.schema import Beta, Metrics, Positive, PositiveFloat, Seed, Share, Strict, Task, parse_strict


class ModelSpec(Strict):
    """A registry name and every keyword argument that differs from its defaults."""

    name: str
    args: dict[str, Any] = {}


class DataSpec(Strict):
    """A prepared data set: `path` is the folder with manifest.json, relative to the project root (see `find_data`)."""

    path: str
    image_size: Positive | None = Field(None, description="pixels of the prepared images; null keeps each image's own")
    source_sha256: str | None = Field(None, description="hash of the fetched archive; null: given by path")


class FewShotRecipe(Strict):
    """FastGAN's training, as the paper's authors run it where a default stands."""

    task: Literal["fewshot"] = "fewshot"
    steps: Positive
    batch_size: Positive = 8
    learning_rate: PositiveFloat = 2e-4
    adam_betas: tuple[Beta, Beta] = (0.5, 0.999)
    augment: tuple[Literal["color", "translation", "cutout"], ...] = ("color", "translation")
    flip: bool = True
    ema_decay: Share = 0.999
    ema_warmup: bool = Field(False, description="decay min(ema_decay, (1+t)/(10+t)): for runs of a few hundred steps")
    perceptual: Literal["lpips-vgg16", "efflite0"] = "lpips-vgg16"
    decoder_scaled: bool = Field(False, description="decoder widths times base_channels/64, output min(128, size)")
    snapshots: int = Field(0, ge=0, description="exports evenly spaced over the run, scanned for the best one")
    strips: int = Field(6, ge=0, description="sample grids evenly spaced over the run")


class OneShotRecipe(Strict):
    """SinGAN's training, one pyramid scale after another."""

    task: Literal["oneshot"] = "oneshot"
    epochs_per_scale: Positive = 2000
    critic_steps: Positive = 3
    generator_steps: Positive = 3
    learning_rate: PositiveFloat = 5e-4
    adam_betas: tuple[Beta, Beta] = (0.5, 0.999)
    decay_at: Share = Field(0.8, description="share of a scale's epochs after which the learning rate is divided by 10")
    min_size: Positive = 25
    max_size: Positive = 250
    scale_factor: float = Field(0.75, gt=0, lt=1)
    gradient_penalty: float = Field(0.1, ge=0)
    reconstruction_weight: float = Field(10.0, ge=0)
    noise_amplitude: PositiveFloat = 0.1
    n_samples: Positive = 25


class ClassificationRecipe(Strict):
    """Supervised training of a classifier."""

    task: Literal["classification"] = "classification"
    epochs: Positive = 120
    batch_size: Positive = Field(256, description="global batch over all processes")
    optimiser: Literal["sgd", "adamw"] = "sgd"
    learning_rate: PositiveFloat = Field(0.1, description="per 256 images, scaled linearly with the global batch")
    momentum: Share = 0.9
    weight_decay: float = Field(1e-4, ge=0)
    warmup_epochs: int = Field(5, ge=0)
    label_smoothing: Share = 0.0
    mixup: float = Field(0.0, ge=0, description="alpha of the beta distribution; 0 is off")
    cutmix: float = Field(0.0, ge=0, description="alpha of the beta distribution; 0 is off")
    ema_decay: Share | None = None
    augment: Literal["imagenet", "small", "none"] = "imagenet"
    holdout: int = Field(0, ge=0, description="training images (or whole shards) set aside to select the best epoch")


class Evaluation(Strict):
    """What is scored, and the sampling protocol of the scores."""

    metrics: Metrics
    n_fake: Positive | None = None
    batch_size: Positive = 16
    latent_seed: int = Field(0, ge=0)


class Compute(Strict):
    """How the numbers are computed. `threads` is part of the result on CPU: bit-equality holds at equal counts only."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["float32", "bf16"] = "float32"
    compile: bool = False
    cuda_graphs: bool = Field(False, description="few-shot and one-shot on a GPU: record a step once, then replay it")
    threads: Positive | None = None
    checkpoint_seconds: PositiveFloat = 120.0
    log_every: Positive = Field(10, description="steps between two rows of history.csv")


class Run(Strict):
    """One experiment on one data set with one seed at one scale."""

    schema_version: Literal[1] = 1
    scale: str
    experiment: str
    dataset: str
    seed: Seed
    task: Task
    model: ModelSpec
    data: DataSpec
    recipe: Annotated[FewShotRecipe | OneShotRecipe | ClassificationRecipe, Field(discriminator="task")]
    evaluation: Evaluation
    compute: Compute = Compute()
    _file: Path | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _recipe_is_possible(self) -> "Run":
        if isinstance(self.recipe, OneShotRecipe) and self.recipe.min_size > self.recipe.max_size:
            raise ValueError(f"recipe.min_size {self.recipe.min_size} exceeds recipe.max_size {self.recipe.max_size}")
        if isinstance(self.recipe, ClassificationRecipe) and self.recipe.warmup_epochs > self.recipe.epochs:
            warmup, epochs = self.recipe.warmup_epochs, self.recipe.epochs
            raise ValueError(f"recipe.warmup_epochs {warmup} exceeds recipe.epochs {epochs}: it would never end")
        return self

    @property
    def name(self) -> str:
        return f"{self.experiment}/{self.dataset}/seed{self.seed}"

    @property
    def data_folder(self) -> Path:
        """The prepared data set on this machine, found as `find_data` says; an InputError where there is none."""
        found = find_data(self.data.path, self._file)
        if found is None:
            raise InputError(
                f"{self._file or self.name}: data.path: no folder {self.data.path} here or in the project; "
                f"`slim-bench prepare {self.dataset} --size {self.data.image_size or 'full'}` there makes it"
            )
        return found

    @property
    def hash(self) -> str:
        """The run's identity: state, export and scores carry it."""
        return training_hash(self.model_dump(mode="json"))

    @property
    def description_hash(self) -> str:
        """sha256 of the whole of run.json."""
        return sha256_json(self.model_dump(mode="json"))


def training_hash(description: dict[str, Any]) -> str:
    """sha256 of all in a run.json that training depends on; asking for more scores does not make it another run."""
    return sha256_json({key: value for key, value in description.items() if key != "evaluation"})


def write_run(path: Path, run: Run) -> None:
    write_json(path, run.model_dump(mode="json"))


def read_run(path: Path) -> Run:
    """Read run.json; any fault is an InputError naming file and key."""
    return parse_strict(Run, read_json(path), Path(path))


def read_job(path: Path) -> Run:
    """`read_run`, for a job that needs the data: they are looked for in the project of the file too."""
    run = read_run(path)
    run._file = Path(path)
    return run
