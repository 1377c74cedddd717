"""Batches contain every image once per epoch, equal for any starting step and number of processes."""

import tarfile
import threading
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bench.data.augment import BatchRows
from bench.data.batches import BatchPlan, MemoryBatches, decode_ahead
from bench.data.loaders import FolderBatches, evaluation_batches
from bench.errors import InputError

CPU = torch.device("cpu")
WHOLE = BatchPlan(BatchRows(0, 4, 4), 7, CPU)


def memory(plan: BatchPlan = WHOLE, count: int = 14) -> MemoryBatches:
    numbers = torch.arange(count)
    return MemoryBatches(numbers.to(torch.uint8).view(-1, 1, 1, 1), numbers, plan, "numbers")


def labels_of(batches, steps: range) -> list[list[int]]:
    return [batches.batch(step)[1].tolist() for step in steps]


def list_folder(root: Path) -> list[tuple[str, int]]:
    return [(str(path), index) for index in (0, 1) for path in sorted((root / ("ape", "bee")[index]).iterdir())]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for label in ("ape", "bee"):
        (tmp_path / label).mkdir()
        for number in range(5):
            pixels = random.integers(0, 256, (20, 30, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / label / f"{number}.png")
    return tmp_path


@pytest.fixture
def shards(tmp_path: Path) -> list[tuple[str, int]]:
    """Write three shards of four samples. The class is the number of the sample."""
    paths = []
    for shard in range(3):
        paths.append(str(tmp_path / f"{shard}.tar"))
        with tarfile.open(paths[-1], "w") as archive:
            for number in range(4 * shard, 4 * shard + 4):
                data = BytesIO()
                Image.new("RGB", (8, 8), (number, 0, 0)).save(data, "png")
                for name, content in (("png", data.getvalue()), ("cls", str(number).encode())):
                    entry = tarfile.TarInfo(f"{number:03d}.{name}")
                    entry.size = len(content)
                    archive.addfile(entry, BytesIO(content))
    return [(path, 4) for path in paths]


def test_an_epoch_has_no_image_twice_and_epochs_differ() -> None:
    batches = memory()
    assert batches.steps_per_epoch == 3
    first, second = (torch.tensor(labels_of(batches, range(a, a + 3))).flatten().tolist() for a in (0, 3))
    assert len(set(first)) == len(set(second)) == 12 and first != second
    images, labels = batches.batch(1)
    assert torch.equal(images.flatten().long(), labels)


def test_a_batch_depends_only_on_its_step() -> None:
    expected = labels_of(memory(), range(9))
    assert [labels_of(memory(), range(step, step + 1))[0] for step in range(9)] == expected


def test_a_rollback_changes_the_order() -> None:
    batches = memory()
    before = labels_of(batches, range(3))
    batches.reseed(1)
    assert labels_of(batches, range(3)) != before


def test_two_processes_share_the_batches_of_one() -> None:
    parts = [labels_of(memory(BatchPlan(BatchRows(a, b, 4), 7, CPU)), range(5)) for a, b in ((0, 2), (2, 4))]
    assert [left + right for left, right in zip(*parts, strict=True)] == labels_of(memory(), range(5))


def test_a_batch_larger_than_the_dataset_is_refused() -> None:
    with pytest.raises(InputError, match=r"recipe.batch_size 4 exceeds the 3 training images of numbers"):
        memory(count=3)


@pytest.mark.parametrize("crop", [True, False])
def test_folder_batches_continue_from_any_step(folder: Path, crop: bool) -> None:
    def make() -> FolderBatches:
        return FolderBatches(list_folder(folder), 8, WHOLE, crop=crop, source="folder")

    batches = make()
    expected = [batches.batch(step) for step in range(4)]
    resumed = make()
    for step in (2, 3):
        images, labels = resumed.batch(step)
        assert images.shape == (4, 3, 8, 8) and images.dtype == torch.uint8
        assert torch.equal(images, expected[step][0]) and torch.equal(labels, expected[step][1])
    assert not torch.equal(expected[0][0], expected[1][0])


def test_training_crops_change_from_epoch_to_epoch(folder: Path) -> None:
    files = [list_folder(folder)[0]] * 4
    batches = FolderBatches(files, 8, WHOLE, crop=True, source="folder")
    assert not torch.equal(batches.batch(0)[0].float().mean(0), batches.batch(1)[0].float().mean(0))


def test_evaluation_takes_the_centre(tmp_path: Path) -> None:
    pixels = np.zeros((256, 320, 3), np.uint8)
    pixels[16:240, 48:272] = 200  # the central 224 px after resizing the shorter side to 256
    Image.fromarray(pixels).save(tmp_path / "a.png")
    images, labels = next(evaluation_batches([(str(tmp_path / "a.png"), 3)], 224, 8))
    assert labels.tolist() == [3] and images.shape == (1, 3, 224, 224) and images.unique().tolist() == [200]


def test_a_broken_image_is_named(folder: Path) -> None:
    (folder / "ape" / "0.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"ape/0.png: not an image"):
        list(evaluation_batches(list_folder(folder), 8, 4))


def test_an_unfinished_stream_can_be_closed_in_a_worker_thread() -> None:
    """The garbage collector, which closes an unused stream, can run on any thread."""
    started, closed, refused = threading.Event(), threading.Event(), []

    def image() -> tuple[torch.Tensor, int]:
        return torch.zeros(3, 1, 1, dtype=torch.uint8), 0

    def close() -> tuple[torch.Tensor, int]:
        started.wait()
        try:
            batches.close()
        except RuntimeError as error:
            refused.append(error)
        closed.set()
        return image()

    batches = decode_ahead(iter([[image], [close]]), CPU)
    next(batches)
    started.set()
    assert closed.wait(60) and not refused


def test_shards_give_every_sample_and_continue_from_any_step(shards: list[tuple[str, int]]) -> None:
    pytest.importorskip("webdataset")
    from bench.data.shards import ShardBatches

    def make() -> ShardBatches:
        return ShardBatches(shards, 8, WHOLE, crop=False, source="shards")

    batches = make()
    expected = [batches.batch(step) for step in range(6)]
    assert batches.steps_per_epoch == 3
    assert set(torch.cat([labels for _, labels in expected]).tolist()) == set(range(12))
    assert all(torch.equal(images[:, 0, 0, 0].long(), labels) for images, labels in expected)
    resumed = make()
    for step in (3, 4, 5):
        images, labels = resumed.batch(step)
        assert torch.equal(labels, expected[step][1]) and torch.equal(images, expected[step][0])


def test_a_resumed_run_does_not_read_finished_epochs(shards: list[tuple[str, int]], monkeypatch) -> None:
    pytest.importorskip("webdataset")
    from bench.data import shards as module

    read: list[str] = []

    def counted(paths: list[str]):
        for sample in whole(paths):
            read.append(sample["__key__"])
            yield sample

    whole = module.read_shards
    monkeypatch.setattr(module, "read_shards", counted)
    batches = module.ShardBatches(shards, 8, WHOLE, crop=True, source="shards")
    images, labels = batches.batch(3 * 100 + 1)
    assert len(read) <= 12 * 2, "the pass in which it stopped and one prefetched pass"
    expected = module.ShardBatches(shards, 8, WHOLE, crop=True, source="shards")
    for step in range(3 * 100 + 2):
        wanted = expected.batch(step)
    assert torch.equal(labels, wanted[1]) and torch.equal(images, wanted[0])


def test_evaluation_reads_shards_in_order(shards: list[tuple[str, int]]) -> None:
    pytest.importorskip("webdataset")
    batches = list(evaluation_batches(shards, 8, 5))
    assert torch.cat([labels for _, labels in batches]).tolist() == list(range(12))
    assert [len(images) for images, _ in batches] == [5, 5, 2]


def test_too_few_shards_are_refused() -> None:
    from bench.data.shards import ShardBatches

    with pytest.raises(InputError, match="0 shards are too few for 1 processes"):
        ShardBatches([], 8, WHOLE, crop=False, source="shards")


def test_a_shard_without_classes_is_named(tmp_path: Path) -> None:
    pytest.importorskip("webdataset")
    from bench.data.shards import decode_sample

    with pytest.raises(InputError, match=r"a.tar: 000 needs an image"):
        decode_sample({"__url__": "a.tar", "__key__": "000", "txt": b""}, 8, None, 0)
