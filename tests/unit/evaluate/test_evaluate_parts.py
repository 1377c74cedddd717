"""Parts of the evaluation that use no network."""

from typing import get_args

import pytest
import torch
from PIL import Image

from bench.errors import InputError
from bench.evaluate import evaluate_folders
from bench.evaluate.folders import ScoredFolder
from bench.evaluate.neighbours import save_neighbours
from bench.evaluate.run import TASKS
from bench.evaluate.writer import check_scores
from bench.schema import Task
from tests.helpers.toy import toy_run


def test_every_task_can_be_scored():
    assert set(TASKS) == set(get_args(Task))


@pytest.mark.parametrize(("sizes", "named"), [([(8, 8)] * 2, "8"), ([(8, 6)] * 2, "6x8"), ([(8, 8), (9, 9)], "mixed")])
def test_the_size_of_a_folders_images_is_a_part_of_the_protocol(tmp_path, sizes, named):
    for index, size in enumerate(sizes):
        Image.new("RGB", size).save(tmp_path / f"{index}.png")
    folder = ScoredFolder(tmp_path)
    assert sum(len(batch) for _, batch in folder.stream([0])) == folder.blocks[0].n == len(sizes)
    assert folder.size == named


def test_neighbours_are_pairs_in_columns(tmp_path):
    samples, training = torch.zeros(3, 3, 4, 4, dtype=torch.uint8), torch.full((3, 3, 4, 4), 200, dtype=torch.uint8)
    save_neighbours(tmp_path / "pairs.png", samples, training, gap=2)
    with Image.open(tmp_path / "pairs.png") as image:
        assert image.size == (3 * 4 + 2 * 2, 4 + 2 + 4)
        assert image.getpixel((0, 0)) == (0, 0, 0) and image.getpixel((0, 9)) == (200, 200, 200)


def test_scores_are_not_written_over_a_file(tmp_path):
    (tmp_path / "scores").write_text("theirs")
    with pytest.raises(InputError, match="is a file"):
        check_scores(toy_run(), tmp_path, tmp_path / "scores", overwrite=True)
    assert (tmp_path / "scores").read_text() == "theirs"


def test_a_folder_of_one_image_is_refused_before_any_network(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "0.png")
    with pytest.raises(InputError, match=r"contains 1 images, but at least 2 are needed"):
        evaluate_folders(tmp_path, tmp_path)
