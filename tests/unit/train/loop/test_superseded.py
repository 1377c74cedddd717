"""A run's weights are moved aside with all files that belong to them. Without weights nothing is moved."""

import pytest

from bench.errors import InputError
from bench.train import train
from bench.train.loop.folders import own_run_files
from bench.train.loop.superseded import move_aside
from tests.helpers.toy import toy_run


def test_a_folder_without_weights_is_unchanged(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("all of it")
    (out / "model.safetensors").write_text("not weights")
    assert own_run_files(out) == []
    assert move_aside(toy_run(), out) is None
    assert sorted(path.name for path in out.iterdir()) == ["model.safetensors", "thesis.txt"]
    assert list(tmp_path.iterdir()) == [out]


def test_a_run_without_data_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        train(toy_run(), tmp_path / "out", tmp_path / "state")
    assert list(tmp_path.iterdir()) == []
