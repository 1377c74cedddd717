"""The paper's datasets at small size on a loopback server: the addresses of the catalogue, with other hashes."""

import hashlib
import io
import shutil
import zipfile
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import yaml

from bench.files import read_yaml, sha256_bytes
from tests.helpers import ROOT
from tests.helpers.data_project import random_image, tar_bytes
from tests.helpers.loopback import Loopback

MANUAL = {
    *("singan-brandenberg", "singan-bridge", "singan-tower", "singan-golden-gate"),
    *("imagenet", "ffhq-1k"),
}
"""Datasets of the paper that no source provides."""


def image_bytes(seed: int, kind: str = "PNG", size: int = 32) -> bytes:
    buffer = io.BytesIO()
    random_image(size, size, seed).save(buffer, kind)
    return buffer.getvalue()


def parquet_of(seed: int, count: int = 2) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    cells = [{"bytes": image_bytes(seed + index), "path": f"{index}.png"} for index in range(count)]
    pq.write_table(pa.table({"image": cells}), buffer)
    return buffer.getvalue()


def zip_of(name: str, seed: int, count: int = 2) -> bytes:
    """Return a zip file like those of MIT, with a folder named after the archive and a folder `__MACOSX`."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for index in range(count):
            archive.writestr(f"{name}/{index}.jpg", image_bytes(seed + index, "JPEG"))
        archive.writestr(f"__MACOSX/{name}/._0.jpg", b"metadata")
    return buffer.getvalue()


def small_content(name: str, seed: int) -> bytes:
    """Return small content in the format that the name of a file implies."""
    path = PurePosixPath(name)
    if path.suffix == ".parquet":
        return parquet_of(seed)
    if path.suffix == ".zip":
        return zip_of(path.stem, seed)
    if path.suffix == ".tgz":
        return tar_bytes(
            {f"jpg/image_{index:05d}.jpg": image_bytes(seed + index, "JPEG") for index in range(3)}, "w:gz"
        )
    return image_bytes(seed, "JPEG" if path.suffix == ".jpg" else "PNG")


def paper_project(root: Path, server: Loopback) -> Path:
    """Create a project whose catalogue has addresses on `server` and hashes of the small content on it."""
    shutil.copytree(ROOT / "config", root / "config")
    (root / "data/sources").mkdir(parents=True)
    catalogue = read_yaml(root / "config/datasets.yaml")
    seed = 0
    for entry in catalogue["datasets"].values():
        for source in entry.get("sources", ()):
            for file in source.get("files", ()):
                seed += 10
                content = small_content(file["name"], seed)
                if source["kind"] == "hub":
                    server.add_hub(source["repo"], source["revision"], file["path"], content)
                else:
                    path = urlsplit(file["url"]).path
                    content = server.files.setdefault(path, content)
                    file["url"] = server.url + path
                if "sha256" in file:
                    file["sha256"] = sha256_bytes(content)
                if "md5" in file:
                    file["md5"] = hashlib.md5(content).hexdigest()
                if "bytes" in file:
                    file["bytes"] = len(content)
    (root / "config/datasets.yaml").write_text(yaml.safe_dump(catalogue, sort_keys=False))
    return root
