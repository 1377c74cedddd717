"""Pairs samples with reference images by name, and checks that two folders share no images."""

import os
from collections import defaultdict
from collections.abc import Mapping
from pathlib import PurePosixPath

from bench.data.images import Header, ImageFiles
from bench.errors import InputError

Pair = tuple[Header, Header]


def refuse_shared(samples: ImageFiles, reference: ImageFiles) -> bool:
    """Raise InputError if two different folders share files, directly or through links.

    Returns True if both are the same folder, otherwise False.
    """
    folder, other = samples.folder, reference.folder
    if folder.samefile(other):
        return True
    for inner, outer in ((folder, other), (other, folder)):
        if any(outer.samefile(parent) for parent in inner.resolve().parents):
            raise InputError(f"{inner}: is inside {outer}; samples and reference must be separate folders; move one")
    paths = {os.path.realpath(header.path) for header in reference.headers}
    shared = [header.path for header in samples.headers if os.path.realpath(header.path) in paths]
    if shared:
        count = f"{len(shared)} of {len(samples.headers)} samples"
        raise InputError(f"{shared[0]}: {count} are links to images of {other}; remove these links")
    return False


def pair_images(samples: ImageFiles, reference: ImageFiles) -> tuple[list[Pair], str | None]:
    """Return pairs of each sample and the reference image with the same relative name, and a note or None.

    A sample without such an image is paired by its name without suffix. No pairs are returned if an image has no
    match, or a match of another size. If several images share a name without suffix, no pairs are returned, and the
    note names these images.
    """
    by_name, reference_by_name = _by_name(samples), _by_name(reference)
    matches = {name: reference_by_name[name] for name in by_name if name in reference_by_name}
    stems, reference_stems = (
        _by_stem({name: header for name, header in names.items() if name not in matches})
        for names in (by_name, reference_by_name)
    )
    if stems.keys() != reference_stems.keys():
        return [], None
    for stem, names in stems.items():
        if len(names) > 1 or len(reference_stems[stem]) > 1:
            several = ", ".join(names if len(names) > 1 else reference_stems[stem])
            return [], f"SSIM is not computed, because {several} differ only in their suffix; rename them"
        matches[names[0]] = reference_by_name[reference_stems[stem][0]]
    pairs = [(header, matches[name]) for name, header in by_name.items()]
    same_size = all((a.width, a.height) == (b.width, b.height) for a, b in pairs)
    return (pairs, None) if same_size else ([], None)


def _by_name(found: ImageFiles) -> dict[str, Header]:
    return {header.path.relative_to(found.folder).as_posix(): header for header in found.headers}


def _by_stem(names: Mapping[str, Header]) -> dict[str, list[str]]:
    stems = defaultdict(list)
    for name in names:
        stems[PurePosixPath(name).with_suffix("").as_posix()].append(name)
    return dict(stems)
