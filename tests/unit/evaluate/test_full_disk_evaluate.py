"""evaluate and sample on a full disk: one line with the folder, no half-written file, and a resume."""

import pytest

from bench.cli import main
from bench.run import write_run
from tests.helpers import metric_runs
from tests.helpers.data_project import image_folder
from tests.helpers.full_disk import files_in, fill, free, mounted


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    run, folder = metric_runs.fewshot(tmp_path_factory.mktemp("trained"), ("params", "macs"))
    write_run(folder / "run.json", run)
    return folder


def test_evaluate_and_sample_on_a_full_disk(trained, tmp_path, capsys):
    images = image_folder(tmp_path / "images", 4, (64, 64))
    with mounted(tmp_path / "disk", "size=4m") as disk:
        commands = {
            "params.json": ["evaluate", "--run", str(trained / "run.json"), "--out", str(disk)],
            "grid.png": ["sample", "--model", str(trained), "-n", "16", "--out", str(disk / "grid.png")],
            "folders.json": [
                *("evaluate", "--samples", str(images), "--reference", str(images)),
                *("--out", str(disk / "folders.json")),
            ],
        }
        fill(disk)
        for name, command in commands.items():
            assert main(command) == 2
            *_, message = capsys.readouterr().err.splitlines()
            assert message.startswith(f"slim-bench: error: {disk}: No space left on device for {name} ("), message
            assert not files_in(disk)
        free(disk)
        for name, command in commands.items():
            assert main(command) == 0 and (disk / name).stat().st_size, name
