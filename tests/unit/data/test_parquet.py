"""Images in parquet files, as the Hugging Face Hub stores them, feed the same preparation as archives and folders."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.data.datasets import load_images
from bench.data.fetch import fetch
from bench.data.parquet import is_parquet, read_rows
from bench.data.prepare import prepare
from bench.data.readable import check_readable
from bench.data.selection import selected_names
from bench.errors import InputError
from bench.files import sha256_bytes
from tests.helpers.data_project import make_project, random_image, tar_bytes


def png(seed: int, size: int = 16, **options) -> bytes:
    buffer = io.BytesIO()
    random_image(size, size, seed, **options).save(buffer, "PNG")
    return buffer.getvalue()


def parquet_bytes(images: list[bytes | None], rows: int = 100, names: list[str] | None = None, **columns) -> bytes:
    buffer = io.BytesIO()
    names = names or [f"{index}.png" for index in range(len(images))]
    cells = [{"bytes": image, "path": name} for image, name in zip(images, names, strict=True)]
    pq.write_table(pa.table({"image": cells} | columns), buffer, row_group_size=rows)
    return buffer.getvalue()


def hub_project(root, *files: bytes, **entry):
    """Create a project whose dataset `a` has parquet files that are already downloaded."""
    listed = [{"name": f"a-{index}.parquet", "path": f"data/{index}.parquet"} for index in range(len(files))]
    source = {"kind": "hub", "repo": "owner/a", "revision": "a" * 40, "files": listed}
    make_project(root, a={"sources": [source]} | entry)
    for file, content in zip(listed, files, strict=True):
        (root / "data/sources" / file["name"]).write_bytes(content)
    return root


def test_two_files_are_one_dataset_in_the_order_of_the_rows(tmp_path):
    images = [png(seed) for seed in range(5)]
    first = parquet_bytes(images[:3], rows=2, label=[0, 0, 0])
    root = hub_project(tmp_path, first, parquet_bytes(images[3:]), n=5)
    fetch("a", root)
    prepare("a", 16, root=root)
    found = load_images(root / "data/prepared/a-16").numpy()
    for seed, image in enumerate(found):
        np.testing.assert_array_equal(image.transpose(1, 2, 0), np.asarray(random_image(16, 16, seed)))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["c.png", "folder/b.png", "a.png"], ["a.png", "b.png", "c.png"]),
        (["c.png", "x/c.png", "a.png"], ["000000.png", "000001.png", "000002.png"]),
        (["c.png", None, "a.png"], ["000000.png", "000001", "000002.png"]),
        (["c.png", "../..", "a.png"], ["000000.png", "000001", "000002.png"]),
        (["c.png", ".b.png", "a\n.png"], ["000000.png", "000001.png", "000002.png"]),
    ],
)
def test_images_have_the_order_of_their_names_if_these_are_valid(tmp_path, names, expected):
    root = hub_project(tmp_path, parquet_bytes([png(seed) for seed in range(3)], names=names))
    assert list(prepare("a", 16, root=root).names) == expected


def test_the_images_are_read_by_the_same_rules_as_files(tmp_path):
    images = [png(seed, mode="RGBA") for seed in range(3)]
    packed = hub_project(tmp_path / "packed", parquet_bytes(images))
    members = {f"{index}.png": image for index, image in enumerate(images)}
    files = [{"name": "a.tar", "url": "http://localhost/a.tar", "sha256": sha256_bytes(tar_bytes(members))}]
    plain = make_project(tmp_path / "plain", a={"source": {"kind": "download", "files": files}})
    (plain / "data/sources/a.tar").write_bytes(tar_bytes(members))
    hashes = {prepare("a", 16, root=root).sha256 for root in (packed, plain)}
    assert len(hashes) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (parquet_bytes([png(0)])[:-20], "damaged parquet file"),
        (b"PAR1" + bytes(100), "damaged parquet file"),
        (parquet_bytes([None]), "row 0 contains no image, only a path"),
        (parquet_bytes([b"no image"]), r"a-0\.parquet: 0\.png: not an image"),
    ],
)
def test_a_damaged_file_gives_a_one_line_error_and_leaves_no_files(tmp_path, content, message):
    root = hub_project(tmp_path, content)
    with pytest.raises(InputError, match=message) as error:
        prepare("a", 16, root=root)
    assert "\n" not in str(error.value)
    assert not (root / "data/prepared/a-16").exists()


def test_a_file_without_an_image_column_is_named(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["a"]}), path)
    assert is_parquet(path)
    with pytest.raises(InputError, match=r"a\.parquet: has no column 'image'"):
        list(read_rows(path))


def test_the_unpacked_size_is_limited_before_anything_is_read(tmp_path):
    path = tmp_path / "a.parquet"
    path.write_bytes(parquet_bytes([bytes(5_000_000)]))  # zeros, which take little space
    with pytest.raises(InputError, match=r"unpacks to .* but the limit is"):
        list(read_rows(path, max_unpacked_gb=0.001))


@pytest.mark.parametrize("name", ["a.parquet", "a.tar", "a.tgz", "a.png"])
def test_a_truncated_file_without_checksum_is_noticed(tmp_path, name):
    members = {f"{index}.png": png(index) for index in range(3)}
    whole = {
        "a.parquet": parquet_bytes(list(members.values())),
        "a.tar": tar_bytes(members),
        "a.tgz": tar_bytes(members, "w:gz"),
        "a.png": png(0, 64),
    }[name]
    path = tmp_path / name
    path.write_bytes(whole)
    check_readable(path)
    path.write_bytes(whole[: len(whole) // 3])
    with pytest.raises(InputError, match=name):
        check_readable(path)


def test_images_are_selected_by_a_committed_list_or_by_order(tmp_path):
    images = {f"jpg/{name}.png": png(seed) for seed, name in enumerate("abcde")}
    listed = b"d.png\nb.png\n"
    preparation = {"names": {"file": "config/list.txt", "sha256": sha256_bytes(listed)}}
    files = [{"name": "a.tar", "url": "http://localhost/a.tar", "sha256": sha256_bytes(tar_bytes(images))}]
    entry = {"source": {"kind": "url", "files": files}}
    root = make_project(tmp_path, a=entry | {"preparation": preparation}, b=entry | {"preparation": {"first": 2}})
    (root / "data/sources/a.tar").write_bytes(tar_bytes(images))
    (root / "config/list.txt").write_bytes(listed)
    assert prepare("a", 16, root=root).names == ("b.png", "d.png")
    assert prepare("b", 16, root=root).names == ("a.png", "b.png")
    (root / "config/list.txt").write_bytes(b"d.png\n")
    with pytest.raises(InputError, match=r"list\.txt: sha256 is .* but"):
        prepare("a", 16, root=root)


def test_a_list_with_missing_images_gives_a_one_line_error(tmp_path):
    from bench.data.catalogue import Preparation

    (tmp_path / "list.txt").write_bytes(b"x.png\n")
    given = {"names": {"file": "list.txt", "sha256": sha256_bytes(b"x.png\n")}}
    with pytest.raises(InputError, match=r"1 of 1 images are missing in the source, such as x\.png"):
        selected_names(Preparation(**given), tmp_path)(["a.png"])


def test_the_first_images_of_several_archives_are_one_dataset(tmp_path):
    archives = [tar_bytes({f"{index}.png": png(index), f"{index}.json": b"{}"}) for index in range(3)]
    listed = [{"name": f"{index}.tar", "path": f"{index}.tar"} for index in range(3)]
    source = {"kind": "hub", "repo": "owner/a", "revision": "a" * 40, "files": listed}
    root = make_project(tmp_path, a={"sources": [source], "preparation": {"members": "*.png", "first": 2}})
    for file, content in zip(listed, archives, strict=True):
        (root / "data/sources" / file["name"]).write_bytes(content)
    prepare("a", 16, root=root)
    found = load_images(root / "data/prepared/a-16").numpy()
    expected = [np.asarray(random_image(16, 16, seed)) for seed in range(2)]
    np.testing.assert_array_equal(found.transpose(0, 2, 3, 1), expected)
