"""The dataset catalogue, config/datasets.yaml, with the sources, licence and preparation of every dataset.

Every dataset lists its sources in order of preference (see bench.data.sources). This module does not import torch.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, field_validator, model_validator

from bench.data.sources import FileName, Folder, Manual, Packed, Sha256, Source, packed_file
from bench.errors import InputError, did_you_mean
from bench.files import read_yaml
from bench.paths import PREPARED
from bench.schema import Name, Positive, Strict, Task, parse_cli_value, parse_strict, valid_name

CATALOGUE = Path("config/datasets.yaml")
PACKAGED = Path(__file__).with_name("datasets.yaml")
"""The catalogue inside the package. An installed package contains a copy, and a clone contains a link."""
PINS = Path("data/pins.yaml")

Byte = Annotated[int, Field(ge=0, le=255)]
BACKGROUND = "RGB background colour of transparent pixels"
RESAMPLE = "antialiased resize filter"
UPSCALE = "allow upscaling of images below the required size; if false, such images are an error"
PADDED = "arrays are padded, not resized"
UNUSED = {
    "imagefolder": (("resample",), "images are resized bilinearly while training"),
    "npz": (("background", "resample", "upscale"), PADDED),
    "idx": (("background", "resample", "upscale"), PADDED),
}
"""Layout -> options of a user's folder that have no effect, and the reason."""
USER_DATA = "own"
"""Placeholder in a suite's list of datasets for all folders and images of the user."""


class ImageList(Strict):
    """A committed list of file names, one per line, that selects the images of a dataset."""

    file: str = Field(description="path of the list, relative to the project root")
    sha256: Sha256 = Field(description="checksum of the list")


class Preparation(Strict):
    """Conversion of images to arrays. Transparent pixels are composited onto `background`; resizing is antialiased."""

    members: str = Field("*", description="glob pattern of the file names to use")
    background: tuple[Byte, Byte, Byte] = Field((255, 255, 255), description=BACKGROUND)
    fit: Literal["crop", "longest-side", "pad"] = Field(
        "crop",
        description="crop: centre square, then resize; longest-side: keep the aspect ratio; "
        "pad: zero padding, no resize",
    )
    resample: Literal["lanczos", "bicubic"] = Field("lanczos", description=RESAMPLE)
    per_class: Positive | None = Field(None, description="number of images per class and split to keep, in file order")
    upscale: bool = Field(False, description=UPSCALE)
    first: Positive | None = Field(None, description="number of images to keep, in order of their names")
    names: ImageList | None = Field(None, description="list of the images to keep; null: all")


class Dataset(Strict):
    """One dataset of the catalogue."""

    title: str = Field(description="one-line description")
    citation: str | None = Field(None, description="publication to cite when using the dataset, in one line")
    task: Task = Field(description="task of the dataset")
    source: Source | None = Field(None, description="the source of the dataset; for several sources, use `sources`")
    sources: tuple[Source, ...] = Field((), description="sources of the dataset, in order of preference")
    layout: Literal["images", "idx", "cifar", "npz", "imagefolder", "imagenet"] = Field(
        "images", description="file layout of images and labels (`images` has no labels)"
    )
    licence: str = Field(description="licence of the images")
    terms: str | None = Field(None, description="attribution and terms of use")
    role: str = Field(description="purpose in this project")
    n: Positive | None = Field(None, description="required number of training images")
    n_test: Positive | None = Field(None, description="required number of test images")
    classes: Positive | None = Field(None, description="number of classes")
    class_names: tuple[str, ...] | None = Field(None, description="class names in label order")
    size: Positive | None = Field(None, description="shortest side of the images in pixels, if known")
    preparation: Preparation = Field(Preparation(), description="conversion of the images to arrays")

    @model_validator(mode="after")
    def _one_list_of_sources(self) -> "Dataset":
        if (self.source is None) == (not self.sources):
            raise ValueError("give either `source` or `sources`")
        if self.source is not None:
            object.__setattr__(self, "sources", (self.source,))
        return self

    @property
    def folder(self) -> Folder | None:
        """The user's own folder, or None for a dataset of the catalogue."""
        return self.sources[0] if isinstance(self.sources[0], Folder) else None

    @property
    def manual(self) -> Manual | None:
        """The source that the user installs, or None."""
        return next((source for source in self.sources if isinstance(source, Manual)), None)

    @model_validator(mode="after")
    def _classification_has_a_layout(self) -> "Dataset":
        if (self.task == "classification") != (self.layout != "images"):
            raise ValueError(f"layout {self.layout!r} is not valid for task {self.task!r}")
        return self


class Weights(Strict):
    """Pretrained weights of feature extractors (metrics, perceptual loss). Their checksum is always verified."""

    title: str = Field(description="one-line description")
    file: FileName = Field(description="file name")
    url: str | None = Field(None, description="download URL")
    sha256: str = Field(pattern=r"^[0-9a-f]{8,64}$", description="published checksum, or its published prefix")
    bytes: Positive | None = Field(None, description="size of the file")
    tensors_sha256: Sha256 | None = Field(None, description="hash of the tensors, shared by files of the same network")
    package: str | None = Field(None, description="path in an installed Python package that contains the file")
    shipped: bool = Field(False, description="true if the file is in the DVC remote inside the repository")
    licence: str = Field(description="licence of the weights")
    used_by: str = Field(description="metrics and losses that use the weights")


class UserFolder(Strict):
    """The user's own images as a dataset: `folders: {my-cats: {path: ~/cats}}`, or `{my-cats: ~/cats}`."""

    path: str = Field(min_length=1, description="a folder of images, one image, or an .npz file")
    task: Task = Field("fewshot", description="task of the dataset; if not set, derived from the type of the path")
    licence: str = Field("given by the user", description="licence of the images")
    background: tuple[Byte, Byte, Byte] = Field((255, 255, 255), description=BACKGROUND)
    resample: Literal["lanczos", "bicubic"] = Field("lanczos", description=RESAMPLE)
    upscale: bool = Field(False, description=UPSCALE)
    layout: Literal["images", "idx", "npz", "imagefolder"] | None = Field(
        None, description="null: npz for a path ending in .npz, else imagefolder (classification) or images"
    )

    _parse_cli_value = field_validator("background", "upscale", mode="before")(parse_cli_value)

    @model_validator(mode="before")
    @classmethod
    def _accept_path(cls, value: Any) -> Any:
        """Accept a path in place of a mapping, and convert a path that YAML reads as a number (2024) to text."""
        value = value if isinstance(value, Mapping) else {"path": value}
        return {**value, "path": str(value["path"])} if isinstance(value.get("path"), int) else value

    def as_yaml(self) -> str:
        """Return one line of YAML with the keys that the user gave."""
        given = self.model_dump(mode="json", exclude_unset=True)
        return yaml.safe_dump(given, default_flow_style=True, width=100000).strip()


class Catalogue(Strict):
    """All datasets and pretrained weights."""

    datasets: dict[Name, Dataset] = Field(description="datasets by name")
    weights: dict[Name, Weights] = Field(description="pretrained weights by name")
    pins: dict[FileName, Sha256] = Field({}, description="pinned checksums, from data/pins.yaml of earlier versions")

    def dataset(self, name: str) -> Dataset:
        if name not in self.datasets:
            hint = ", and there is no such file or folder" if "/" in name else did_you_mean(name, self.datasets)
            if Path(name).expanduser().exists():
                hint = f"; to use your own images, pass --folder mine={name} and the dataset name mine"
            raise InputError(f"dataset {name!r} is not in {CATALOGUE}{hint}")
        return self.datasets[name]

    def find_weights(self, name: str) -> Weights:
        if name not in self.weights:
            raise InputError(f"weights {name!r} are not in {CATALOGUE}{did_you_mean(name, self.weights)}")
        return self.weights[name]

    def source_sha256(self, name: str) -> str | None:
        """Return the published sha256 of a dataset with a single file in a single source, or None.

        A checksum that is recorded later would change the hash of runs, so it is ignored here.
        """
        sources = [source for source in self.dataset(name).sources if not isinstance(source, Packed)]
        files = [file for source in sources for file in source.files]
        return files[0].sha256 if len(files) == 1 else None


Folders = Mapping[str, UserFolder | Mapping[str, Any]]
"""The user's own datasets by name, parsed or as in config.yaml."""


def load_catalogue(root: Path = Path("."), folders: Folders | None = None) -> Catalogue:
    """Read config/datasets.yaml under `root`, and add the user's own folders.

    data/pins.yaml of earlier versions is read if it exists. DVC pointers take precedence over this file.
    """
    path = Path(root) / CATALOGUE
    value = read_yaml(path)
    pins = Path(root) / PINS
    value["pins"] = read_yaml(pins) if pins.exists() else {}
    catalogue = parse_strict(Catalogue, value, path)
    own = {name: folder_dataset(name, given) for name, given in (folders or {}).items()}
    for name in own:
        if name in catalogue.datasets or name in catalogue.weights or name == USER_DATA:
            path = own[name].source.path
            advice = f"--config 'folders={{NAME: {{path: {path}, task: {own[name].task}}}}}'"
            raise InputError(f"folders.{name}: the catalogue already has this name; choose another: {advice}")
    known = {name: _with_packed(Path(root), name, dataset) for name, dataset in catalogue.datasets.items()}
    return catalogue.model_copy(update={"datasets": known | own})


def load_weights_entry(name: str, root: Path = Path(".")) -> Weights:
    """Return the entry of weights `name`. Outside of a project folder, the catalogue of the package is read."""
    if (Path(root) / CATALOGUE).exists() or not PACKAGED.is_file():
        return load_catalogue(root).find_weights(name)
    return parse_strict(Catalogue, read_yaml(PACKAGED) | {"pins": {}}, PACKAGED).find_weights(name)


def _with_packed(root: Path, name: str, dataset: Dataset) -> Dataset:
    """Return the dataset, with the archive of its installed images as a further source if DVC tracks this archive."""
    file = packed_file(name)
    if dataset.manual is None or not (root / file.pointer).is_file():
        return dataset
    index = dataset.sources.index(dataset.manual)
    packed = Packed(kind="dvc", files=(file,))
    return dataset.model_copy(update={"sources": (*dataset.sources[:index], packed, *dataset.sources[index:])})


def task_of(path: Path) -> Task:
    """Return oneshot for an image, classification for arrays or a folder with train/, and fewshot for other folders."""
    if is_npz(path) or (path / "train").is_dir():
        return "classification"
    return "oneshot" if path.is_file() else "fewshot"


def is_npz(path: Path) -> bool:
    """Return whether a path has the suffix .npz and is not a folder."""
    return path.suffix.lower() == ".npz" and not path.is_dir()


def folder_dataset(name: str, given: UserFolder | Mapping[str, Any]) -> Dataset:
    """Return the catalogue entry of a user's folder (or .npz file)."""
    valid_name(name, "folders")
    folder = given if isinstance(given, UserFolder) else parse_strict(UserFolder, dict(given), f"folders.{name}")
    given_layout = "npz" if is_npz(Path(folder.path).expanduser()) else "imagefolder"
    layout = folder.layout or (given_layout if folder.task == "classification" else "images")
    unused, reason = UNUSED.get(layout, ((), ""))
    for key in unused:
        if key in folder.model_fields_set:
            raise InputError(f"folders.{name}.{key}: has no effect for layout {layout} ({reason}); remove it")
    fit = "longest-side" if folder.task == "oneshot" else "pad" if layout in ("idx", "npz") else "crop"
    value = {
        "title": name,
        "task": folder.task,
        "source": {"kind": "folder", "path": folder.path},
        "layout": layout,
        "licence": folder.licence,
        "role": "user's own dataset",
        "preparation": {
            "background": folder.background,
            "fit": fit,
            "resample": folder.resample,
            "upscale": folder.upscale,
        },
    }
    return parse_strict(Dataset, value, f"folders.{name}")


def prepared_path(name: str, image_size: int | None) -> Path:
    """Return the folder of the prepared dataset, relative to the project root."""
    return PREPARED / f"{name}-{image_size or 'full'}"
