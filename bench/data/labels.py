"""Validates the labels of a classification dataset. Classes must be numbered from 0 without gaps."""

from collections.abc import Mapping

import numpy as np

from bench.errors import InputError

NUMBERING_HINT = "number the classes 0, 1, 2 ... without gaps"


def as_labels(where: str, split: str, labels: np.ndarray, images: int) -> np.ndarray:
    """Return the labels as int64 [N], where N must equal `images`, the number of images.

    Raises InputError for other types, shapes or counts. The message names the file `where`.
    """
    if images == 0 or labels.size == 0:
        raise InputError(f"{where}: no {split} images, or no {split} labels; a {split} set is needed")
    if not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"{where}: {split} labels are {labels.dtype}, not integers; save them as int64")
    if labels.ndim != 1 or len(labels) != images:
        found = f"labels are {labels.dtype} {labels.shape}, expected one class number per image"
        raise InputError(f"{where}: {images} {split} images, but {found}")
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < 0 or highest > np.iinfo(np.int64).max:
        raise InputError(f"{where}: {split} labels range from {lowest} to {highest}; {NUMBERING_HINT}")
    return labels.astype(np.int64)


def count_classes(where: str, labels: Mapping[str, np.ndarray], count: int | None = None) -> int:
    """Return the number of classes in the splits `train` and `test`. `count` is the expected number, if known.

    Raises InputError for labels outside 0..count-1, test labels without training images, empty training classes, and
    a single class.
    """
    train_classes = np.unique(labels["train"])
    tested = np.unique(labels["test"])
    lowest, highest = int(min(train_classes[0], tested[0])), int(max(train_classes[-1], tested[-1]))
    if lowest == 1 and highest in (count, len(train_classes)):
        raise InputError(f"{where}: labels run from 1 to {highest}; subtract 1, so that they begin at 0")
    if lowest < 0 or (count is not None and highest >= count):
        raise InputError(f"{where}: labels range from {lowest} to {highest}, outside 0..{(count or highest + 1) - 1}")
    if unseen := np.setdiff1d(tested, train_classes).tolist():
        lack = f"no training image has the test label {_examples(unseen)}"
        raise InputError(f"{where}: {lack}; {NUMBERING_HINT}, or remove these images")
    number = highest + 1 if count is None else count
    if number < 2:
        raise InputError(f"{where}: only one class; at least two are needed")
    if len(train_classes) < number:
        first = int(np.argmax(np.append(train_classes, number) != np.arange(len(train_classes) + 1)))
        lack = f"{number - len(train_classes)} of {number} classes have no training images, for example class {first}"
        raise InputError(f"{where}: {lack}; {NUMBERING_HINT}")
    return number


def _examples(values: list[int]) -> str:
    return ", ".join(map(str, values[:3])) + (" ..." if len(values) > 3 else "")
