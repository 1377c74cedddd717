"""Rebuilds the archives of the DVC remote inside the repository from their source folders, byte for byte.

    python tools/build_shipped_data.py --emoji DIR --fashion DIR --out data/sources

- fluent-emoji-100.tar: the 100 WebP files in DIR, unchanged.
- fashion-mnist.tar: four IDX files with the first 600 training and 200 test images of each class, in published order.
- photographs.tar: five photographs of the installed scikit-image, verified against its registry.
- lpips-vgg16-heads.pth: the linear heads of LPIPS v0.1, from the installed torchmetrics, unchanged.

Tar headers contain no time, owner or mode. The compressed bytes of the IDX members depend on the zlib version, but
their content does not. `--check` compares the content with the existing archives.
"""

import argparse
import gzip
import importlib.util
import io
import tarfile
from pathlib import Path

import numpy as np

from bench.data.array_files import read_idx
from bench.data.stored import StoredFile
from bench.errors import InputError
from bench.files import atomic_file, sha256_bytes

PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "hubble_deep_field.jpg", "rocket.jpg")
LPIPS_SHA256 = "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868"
PER_CLASS = {"train": 600, "t10k": 200}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--emoji", type=Path, required=True, help="folder with the 100 WebP files")
    parser.add_argument("--fashion", type=Path, required=True, help="folder with the four .gz files of Fashion-MNIST")
    parser.add_argument("--out", type=Path, default=Path("data/sources"))
    parser.add_argument(
        "--check", action="store_true", help="write nothing; compare the content with the archives in --out"
    )
    arguments = parser.parse_args()
    archives = {
        "fluent-emoji-100.tar": tar({path.name: path.read_bytes() for path in arguments.emoji.glob("*.webp")}),
        "fashion-mnist.tar": tar(fashion_subset(arguments.fashion)),
        "photographs.tar": tar(photographs()),
        "lpips-vgg16-heads.pth": lpips_heads(),
    }
    for name, data in archives.items():
        path = arguments.out / name
        if arguments.check:
            same = content(data) == content(path.read_bytes())
            print(f"{name}: {'same content' if same else 'DIFFERS'}")
        elif path.exists() and path.read_bytes() != data:
            raise SystemExit(f"{path}: has different content and is not overwritten; move it to another folder")
        else:
            with atomic_file(path) as file:
                file.write(data)
            print(f"{name}: {len(data)} bytes, sha256 {sha256_bytes(data)}")


def tar(members: dict[str, bytes]) -> bytes:
    """Return a ustar archive that depends only on names and content."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(members):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(members[name]), 0o644
            archive.addfile(info, io.BytesIO(members[name]))
    return buffer.getvalue()


def fashion_subset(folder: Path) -> dict[str, bytes]:
    members = {}
    for split, count in PER_CLASS.items():
        images = read_idx(StoredFile.from_path(folder / f"{split}-images-idx3-ubyte.gz"))
        labels = read_idx(StoredFile.from_path(folder / f"{split}-labels-idx1-ubyte.gz"))
        chosen = np.sort(np.concatenate([np.flatnonzero(labels == label)[:count] for label in range(10)]))
        members[f"{split}-images-idx3-ubyte.gz"] = idx(images[chosen])
        members[f"{split}-labels-idx1-ubyte.gz"] = idx(labels[chosen])
    return members


def idx(array: np.ndarray) -> bytes:
    """Return an array in IDX format, gzipped without time and name.

    The big-endian header of the format contains 0, 0, 8 (unsigned byte), number of dimensions and sizes.
    """
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return gzip.compress(header + array.tobytes(), compresslevel=9, mtime=0)


def photographs() -> dict[str, bytes]:
    from skimage.data._registry import registry

    folder = package_folder("skimage") / "data"
    members = {name: (folder / name).read_bytes() for name in PHOTOGRAPHS}
    for name, data in members.items():
        if sha256_bytes(data) != registry[f"data/{name}"]:
            raise InputError(f"{folder / name}: sha256 differs from scikit-image's registry")
    return members


def lpips_heads() -> bytes:
    path = package_folder("torchmetrics") / "functional/image/lpips_models/vgg.pth"
    data = path.read_bytes()
    if sha256_bytes(data) != LPIPS_SHA256:
        raise InputError(f"{path}: not the heads of LPIPS v0.1 (sha256 {LPIPS_SHA256})")
    return data


def package_folder(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise InputError(f"package {name} is not installed (it is part of the dev extra)")
    return Path(spec.origin).parent


def content(data: bytes) -> dict[str, str]:
    """Return the sha256 of the (uncompressed) content of each member, by name."""
    if not data.startswith(b"PK") and data[257:262] != b"ustar":
        return {"": sha256_bytes(data)}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        members = {info.name: archive.extractfile(info).read() for info in archive}
    return {name: sha256_bytes(gzip.decompress(d) if name.endswith(".gz") else d) for name, d in members.items()}


if __name__ == "__main__":
    main()
