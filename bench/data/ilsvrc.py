"""ImageNet's three archives -> an ImageFolder: train/WNID/*.JPEG, val/WNID/*.JPEG.

The training archive holds one tar per class; the validation archive is flat, and its classes come from the development
kit (labels as ILSVRC ids 1..1000 in one text file, their WordNet ids in meta.mat).
"""

import shutil
import tarfile
from pathlib import Path

from scipy.io import loadmat

from bench.data.extract import Limits, damage_named, extract_archive, read_members
from bench.errors import InputError

LIMITS = Limits(members=2_000_000, bytes=512 << 30)
WORKING = {"train", "val", ".train.part", ".val.part", ".devkit", ".class.tar"}
"""What an attempt that was broken off leaves."""
GROUND_TRUTH = "ILSVRC2012_validation_ground_truth.txt"


def unpack_imagenet(train: Path, val: Path, devkit: Path, target: Path) -> None:
    """Unpack into the new folder `target`, which appears when it is complete; a broken attempt is taken up again."""
    working = target.with_name(f".{target.name}.part")
    working.mkdir(parents=True, exist_ok=True)
    for path in working.iterdir():
        if path.name not in WORKING and not path.name.endswith(".part"):
            raise InputError(f"{path}: is no part of an unpacking that was broken off; move it away")
    if not (working / "val").exists():
        _unpack_val(val, devkit, working)
    if not (working / "train").exists():
        _unpack_train(train, working)
    working.rename(target)


def _unpack_train(archive: Path, target: Path) -> None:
    partial = target / ".train.part"
    inner = target / ".class.tar"
    with damage_named(archive):
        for member in read_members(archive):
            wnid = Path(member.name).stem
            if (partial / wnid).exists():
                continue  # a former attempt came this far
            with member.open() as source, inner.open("wb") as file:
                shutil.copyfileobj(source, file, 1 << 20)
            if not tarfile.is_tarfile(inner):
                raise InputError(f"{archive}: member {member.name} is not the archive of a class")
            extract_archive(inner, partial / wnid, LIMITS)
    inner.unlink(missing_ok=True)
    partial.rename(target / "train")


def _unpack_val(archive: Path, devkit: Path, target: Path) -> None:
    partial = target / ".val.part"
    shutil.rmtree(partial, ignore_errors=True)
    labels = validation_classes(devkit, target)
    extract_archive(archive, partial, LIMITS)
    images = sorted(partial.iterdir())
    if len(images) != len(labels):
        raise InputError(f"{archive}: {len(images)} images, but {devkit.name} has labels for {len(labels)}")
    for path, wnid in zip(images, labels, strict=True):
        (partial / wnid).mkdir(exist_ok=True)
        path.rename(partial / wnid / path.name)
    partial.rename(target / "val")


def validation_classes(devkit: Path, target: Path) -> list[str]:
    """WordNet id of each validation image, in the order of the image names."""
    folder = target / ".devkit"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        extract_archive(devkit, folder)
        (meta,) = folder.rglob("meta.mat")
        (truth,) = folder.rglob(GROUND_TRUTH)
        synsets = loadmat(meta, squeeze_me=True)["synsets"]
        wnids = {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in synsets}
        return [wnids[int(line)] for line in truth.read_text().split()]
    except (ValueError, KeyError) as error:
        raise InputError(f"{devkit}: not the development kit of ILSVRC 2012 ({error})") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
