"""Pydantic models of a dataset's sources, and the order of preference of the sources.

A dataset lists its sources in order of preference in config/datasets.yaml. `fetch` tries them in this order:

    hub       a file at a full commit of a Hugging Face Hub repository
    raw       a file at a full commit of a git host, with sha256
    url       a URL; without sha256 and md5 only if `data.trust_first_use` is true (`download` is the older name)
    dvc       a DVC remote; `shipped` is the one inside the repository
    mirror    the folder `data.mirror`
    manual    files that the user installs
    folder    the user's own images, by path

A DVC pointer and the folder `data.mirror` can provide every file of the other sources, so the catalogue need not list
these two sources. This module does not import torch.
"""

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from bench.data.dvc_cache import default_remote
from bench.schema import Positive, Strict, parse_cli_value

SOURCES = Path("data/sources")
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Md5 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
FULL_COMMIT = re.compile(r"/[0-9a-f]{40}/")
SHIPPED = "shipped"
"""Name of the DVC remote inside the repository.

The name is passed explicitly, because the default remote may be a different one.
"""
KIND = "type of source"


class SourceFile(Strict):
    """One file under data/sources. A file without sha256 and md5 has no published checksum."""

    name: FileName = Field(description="file name under data/sources")
    url: str | None = Field(None, pattern=r"^https?://", description="download URL")
    path: str | None = Field(None, description="path in the Hugging Face Hub repository")
    sha256: Sha256 | None = Field(None, description="published checksum")
    md5: Md5 | None = Field(None, description="published checksum, if no sha256 is published")
    bytes: Positive | None = Field(None, description="size of the file")

    @field_validator("path")
    @classmethod
    def _relative_path(cls, path: str | None) -> str | None:
        if path is not None and (not path or PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts):
            raise ValueError("expected a relative path inside the repository")
        return path

    @property
    def local(self) -> Path:
        """Path of the file, relative to the project root."""
        return SOURCES / self.name

    @property
    def pointer(self) -> Path:
        """Path of the file's DVC pointer, which may not exist."""
        return SOURCES / f"{self.name}.dvc"


Files = Annotated[tuple[SourceFile, ...], Field(min_length=1)]


class Hub(Strict):
    """Files at a full commit of a Hugging Face Hub repository, such as parquet files of images."""

    kind: Literal["hub"] = Field(description=KIND)
    repo: str = Field(pattern=r"^[\w.-]+/[\w.-]+$", description="owner/name of the repository")
    revision: Commit = Field(description="full commit of the repository")
    repo_type: Literal["dataset", "model"] = Field("dataset", description="type of the repository")
    gated: bool = Field(False, description="true if the repository needs a login (HF_TOKEN or `hf auth login`)")
    files: Files = Field(description="the files, each with its path in the repository")

    @model_validator(mode="after")
    def _each_file_has_a_path(self) -> "Hub":
        for file in self.files:
            if file.path is None:
                raise ValueError(f"file {file.name}: give its `path` in the repository")
        return self


class Raw(Strict):
    """Files of a git host at URLs that contain a full commit, each with sha256."""

    kind: Literal["raw"] = Field(description=KIND)
    files: Files = Field(description="the files, each with URL and sha256")

    @model_validator(mode="after")
    def _each_file_is_fixed(self) -> "Raw":
        for file in self.files:
            if file.url is None or not FULL_COMMIT.search(file.url):
                raise ValueError(f"file {file.name}: give its `url` at a full commit of 40 hexadecimal digits")
            if file.sha256 is None:
                raise ValueError(f"file {file.name}: give its `sha256`")
        return self


class Download(Strict):
    """Files at URLs. Without a checksum, they are downloaded only if `data.trust_first_use` is true."""

    kind: Literal["url", "download"] = Field(description=KIND)
    files: Files = Field(description="the files, each with its URL")

    @model_validator(mode="after")
    def _each_file_has_a_url(self) -> "Download":
        for file in self.files:
            if file.url is None:
                raise ValueError(f"file {file.name}: give its `url`")
        return self


class Dvc(Strict):
    """Files in a DVC remote. Each needs its pointer data/sources/NAME.dvc."""

    kind: Literal["dvc"] = Field(description=KIND)
    remote: FileName | None = Field(None, description="name of the DVC remote; null: the default remote")
    files: Files = Field(description="the files")


class Packed(Dvc):
    """The archive of a folder that the user of another machine installed. See bench.data.record.

    The archive is not in the catalogue. It has a pointer, and its content is in the DVC cache or in a remote.
    """


class Shipped(Strict):
    """A file in the DVC remote inside the repository."""

    kind: Literal["shipped"] = Field(description=KIND)
    file: SourceFile = Field(description="the archive")

    @property
    def files(self) -> tuple[SourceFile, ...]:
        return (self.file,)


class Mirror(Strict):
    """Files, or a folder `place`, in the folder `data.mirror` of config/config.yaml, under the same names."""

    kind: Literal["mirror"] = Field(description=KIND)
    place: FileName | None = Field(None, description="name of a folder in the mirror; null: files only")
    files: tuple[SourceFile, ...] = Field((), description="the files")


class Manual(Strict):
    """Files that the user installs manually, as a folder `place` under data/sources, or as `files` in data/sources."""

    kind: Literal["manual"] = Field(description=KIND)
    place: FileName = Field(description="name of the folder under data/sources")
    how: str = Field(description="installation instructions for the user")
    files: tuple[SourceFile, ...] = Field((), description="files to install in data/sources")


class Folder(Strict):
    """The user's own folder (or .npz file), by path. A relative path is relative to the project root."""

    kind: Literal["folder"] = Field(description=KIND)
    path: str = Field(description="the folder or file")

    @property
    def files(self) -> tuple[SourceFile, ...]:
        return ()


FILES, ARCHIVES = "files", "archives"
"""Kinds of the lists that represent ImageNet."""


def packed_file(name: str) -> SourceFile:
    """Return the archive of the images that the user installed for dataset `name`."""
    return SourceFile(name=f"{name}-installed.tar")


def list_name(name: str, kind: str) -> str:
    """Return the file name of a list of dataset `name`. `kind`: FILES or ARCHIVES."""
    return f"{name}-{kind}.tsv"


def record_names(name: str) -> tuple[str, ...]:
    """Return the names that the records of an installed dataset may have in data/sources."""
    return packed_file(name).name, list_name(name, FILES), list_name(name, ARCHIVES)


Source = Annotated[
    Hub | Raw | Download | Dvc | Shipped | Mirror | Manual | Folder,
    Field(discriminator="kind"),
]
Network = (Hub, Raw, Download)
"""Sources that are downloaded over the network."""


class DataSettings(Strict):
    """Section `data` of config.yaml: permitted origins of dataset files."""

    mirror: str | None = Field(None, min_length=1, description="folder with copies of the files, by name; null: none")
    trust_first_use: bool = Field(
        False, description="download files without a published checksum, and pin the checksum of the first download"
    )

    _parse_cli_value = field_validator("trust_first_use", mode="before")(parse_cli_value)


def is_pinned(source: Any) -> bool:
    """Return whether the catalogue identifies the bytes of a source, by a full commit or by checksums."""
    if isinstance(source, Download):
        return all(file.sha256 or file.md5 for file in source.files)
    return True


def download_bytes(source: Any) -> int | None:
    """Return the total size of a source's files in bytes, or None if the catalogue lacks the size of a file."""
    sizes = [file.bytes for file in source.files]
    return None if None in sizes or not sizes else sum(size for size in sizes if size)


def preferred_sources(sources: Iterable[Any], settings: DataSettings, root: Path | None = None) -> list[Any]:
    """Return the sources of a dataset in the catalogue's order, with DVC and the mirror folder added.

    Both precede the first source that has no checksum or that the user installs manually. DVC is added for files with
    a pointer under `root`. `fetch` skips a source without checksum (`is_pinned`) unless `trust_first_use` is true.
    """
    listed = list(sources)
    has_remote = any(isinstance(source, Dvc | Shipped) and not isinstance(source, Packed) for source in listed)
    added = [] if root is None or has_remote else tracked(listed, root)
    if settings.mirror and not any(isinstance(source, Mirror) for source in listed):
        added += mirrored(listed)
    last = (index for index, source in enumerate(listed) if isinstance(source, Manual) or not is_pinned(source))
    position = next(last, len(listed))
    return [*listed[:position], *added, *listed[position:]]


def tracked(sources: Iterable[Any], root: Path) -> list[Any]:
    """Return the default DVC remote as a source of each group of files that all have a pointer under `root`.

    The remote inside the repository contains only the files of the shipped datasets.
    """
    groups = [source.files for source in sources if source.files]
    groups = [files for files in groups if all((root / file.pointer).exists() for file in files)]
    if not groups or not (root / ".dvc").is_dir() or default_remote(root) == SHIPPED:
        return []
    return [Dvc(kind="dvc", files=files) for files in groups]


def mirrored(sources: Iterable[Any]) -> list[Any]:
    """Return the mirror folder as a source of each group of files, and of each folder that the user installs."""
    found = []
    for source in sources:
        folder = source.place if isinstance(source, Manual) else None
        if folder or source.files:
            found.append(Mirror(kind="mirror", place=folder, files=source.files))
    return found


def label(source: Any) -> str:
    """Return a short description of a source, such as `hub huggan/few-shot-panda@a00d53a`."""
    if isinstance(source, Hub):
        return f"hub {source.repo}@{source.revision[:7]}"
    if isinstance(source, Raw | Download):
        return f"{source.kind} {urlsplit(source.files[0].url or '').netloc}"
    if isinstance(source, Packed):
        return "images installed manually, recorded with DVC"
    if isinstance(source, Dvc | Shipped):
        remote = SHIPPED if isinstance(source, Shipped) else source.remote
        return f"dvc remote {remote or '(default)'}"
    return f"{source.kind} {getattr(source, 'place', None) or ''}".rstrip()
