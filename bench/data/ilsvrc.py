"""Extracts ImageNet's three archives to an ImageFolder (train/WNID/*.JPEG and val/WNID/*.JPEG).

The training archive contains one tar per class. The validation archive is flat, and its labels are in the
development kit (ILSVRC ids 1..1000 in one text file, and the WordNet id of each ILSVRC id in meta.mat).
"""

import shutil
from pathlib import Path

from scipy.io import loadmat

from bench.data.content import UNPACKED_MARKER, archives_sha256
from bench.data.extract import extract_archive, read_members
from bench.data.limits import check_free_space
from bench.errors import InputError
from bench.files import write_json

WORKING = {UNPACKED_MARKER, "train", "val", ".train.part", ".val.part", ".devkit"}
"""Names of the files and folders that an interrupted extraction can leave."""
GROUND_TRUTH = "ILSVRC2012_validation_ground_truth.txt"


def unpack_imagenet(
    train: Path, val: Path, devkit: Path, target: Path, content: str, max_unpacked_gb: float | None = None
) -> None:
    """Extract the archives to a temporary folder, and rename the folder to `target` when all are extracted.

    An interrupted extraction resumes, but starts again if the archives have changed. `content`: hash of the archives.
    """
    working = target.with_name(f".{target.name}.part")
    working.mkdir(parents=True, exist_ok=True)
    for path in working.iterdir():
        if path.name not in WORKING and not path.name.endswith(".part"):
            raise InputError(f"{path}: is not part of an interrupted extraction; move it to another folder")
    if archives_sha256(working) != content:
        for name in WORKING - {UNPACKED_MARKER}:
            shutil.rmtree(working / name, ignore_errors=True)
        write_json(working / UNPACKED_MARKER, {"content_sha256": content})
    if not (working / "val").exists():
        _unpack_val(val, devkit, working, max_unpacked_gb)
    if not (working / "train").exists():
        _unpack_train(train, working, max_unpacked_gb)
    working.rename(target)


def _unpack_train(archive: Path, target: Path, max_unpacked_gb: float | None) -> None:
    partial = target / ".train.part"
    partial.mkdir(exist_ok=True)
    done = {path.name for path in partial.iterdir()}  # class archives that an earlier attempt extracted
    members = read_members(archive, max_unpacked_gb)
    check_free_space(str(archive), sum(member.size for member in members if Path(member.name).stem not in done), target)
    for member in read_members(archive, max_unpacked_gb):
        if Path(member.name).stem not in done:
            extract_archive(member, partial / Path(member.name).stem, max_unpacked_gb)
    partial.rename(target / "train")


def _unpack_val(archive: Path, devkit: Path, target: Path, max_unpacked_gb: float | None) -> None:
    partial = target / ".val.part"
    shutil.rmtree(partial, ignore_errors=True)
    labels = validation_classes(devkit, target, max_unpacked_gb)
    extract_archive(archive, partial, max_unpacked_gb)
    images = sorted(partial.iterdir())
    if len(images) != len(labels):
        raise InputError(f"{archive}: contains {len(images)} images, but {devkit.name} has labels for {len(labels)}")
    for path, wnid in zip(images, labels, strict=True):
        (partial / wnid).mkdir(exist_ok=True)
        path.rename(partial / wnid / path.name)
    partial.rename(target / "val")


def validation_classes(devkit: Path, target: Path, max_unpacked_gb: float | None = None) -> list[str]:
    """Return the WordNet id of each validation image, in the order of the image names."""
    folder = target / ".devkit"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        extract_archive(devkit, folder, max_unpacked_gb)
        (meta,) = folder.rglob("meta.mat")
        (truth,) = folder.rglob(GROUND_TRUTH)
        synsets = loadmat(meta, squeeze_me=True)["synsets"]
        wnids = {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in synsets}
        return [wnids[int(line)] for line in truth.read_text().split()]
    except InputError:
        raise
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError(f"{devkit}: not the development kit of ILSVRC 2012 ({error})") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
