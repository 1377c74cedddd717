"""A full or read-only disk gives a one-line error with folder and next step, no incomplete file, and permits a resume.

Cases on real file systems of 1 MB need root. Cases with a limited file size or a failing system call do not.
"""

import errno
import os
import resource
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from bench.cli import main
from bench.data.extract import extract_archive
from bench.data.npy import array_by_row, write_array
from bench.data.staging import make_temporary
from bench.errors import InputError, readable_size, storage_error
from bench.export import save_weights
from bench.files import link_or_copy, write_json, write_png, write_text
from bench.metrics.cache import cached_features
from bench.report.tables.table import write_tables
from bench.train.loop.checkpoint import Checkpoints
from bench.train.loop.folders import claim_state
from bench.train.loop.history import History
from bench.workflow import WorkflowPlan, clear_stale_lock
from tests.helpers import ROOT
from tests.helpers.data_project import tar_bytes
from tests.helpers.full_disk import files_in, fill, free, largest_file, mounted
from tests.helpers.report_fixture import make_results

PIXELS = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)  # 120 kB, also as a PNG
FREEZE = ["freeze", "--experiment", "fastgan-sle", "--dataset", "fluent-emoji-100", "--seed", "0", "--out"]


def fill_rows(path):
    with array_by_row(path, (4, *PIXELS.shape), PIXELS.dtype) as write:
        for index in range(4):
            write(index, PIXELS)


def copy(path):
    other = path.parent.parent / "other.bin"
    other.write_bytes(PIXELS.tobytes())
    try:
        link_or_copy(other, path)
    finally:
        other.unlink()


WRITERS = {
    "a.json": lambda path: write_json(path, {"a": "b" * 20_000}),
    "a.txt": lambda path: write_text(path, "b" * 20_000),
    "a.png": lambda path: write_png(path, Image.fromarray(PIXELS)),
    "whole.npy": lambda path: write_array(path, PIXELS),
    "rows.npy": fill_rows,
    "a.safetensors": lambda path: save_weights(path, nn.Linear(100, 100), {"name": "x", "args": {}}),
    "step-0000000001.ckpt": lambda path: Checkpoints(path.parent, "r", "d").save(1, {"w": torch.ones(10_000)}),
    "history.csv": lambda path: History(path).add({"step": 1, "loss": 0.5}),
    ".slim-bench-state": lambda path: claim_state(path.parent),
    "summary.csv": lambda path: write_tables(path.with_suffix(""), []),
    "copy.bin": copy,
}


def one_line(call, *arguments) -> str:
    with pytest.raises(InputError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def disk(tmp_path):
    with mounted(tmp_path / "disk") as folder:
        yield folder


@pytest.fixture
def full(disk):
    fill(disk)
    return disk


def test_every_writer_on_a_full_disk_names_the_folder_and_leaves_nothing(full):
    for name, write in WRITERS.items():
        message = one_line(write, full / name)
        assert message.startswith(f"{full}: No space left on device for {name} ("), message
        assert " needed" in message or name in ("history.csv", "summary.csv"), message
        assert " free" in message and "then run the same command again" in message, message
        assert not files_in(full), name
    free(full)
    for name, write in WRITERS.items():
        write(full / name)
    assert files_in(full) >= WRITERS.keys()


def test_the_old_file_is_kept_if_the_disk_becomes_full(disk):
    write_json(disk / "a.json", {"old": True})
    fill(disk, leave=8192)
    for name in ("a.json", "a.png", "rows.npy"):
        assert "8.2 kB free" in one_line(WRITERS[name], disk / name)
    assert files_in(disk) == {"a.json"} and (disk / "a.json").read_text() == '{\n "old": true\n}\n'


def test_the_message_names_the_link_and_its_target(full):
    link = full.parent / "results"
    link.symlink_to(full)
    assert one_line(write_text, link / "a.txt", "x").startswith(f"{link} ({full}): No space left on device for a.txt")


def test_a_full_inode_table_gives_a_one_line_error(tmp_path):
    with mounted(tmp_path / "disk", "size=1m,nr_inodes=3") as folder:
        for name in "ab":
            (folder / name).touch()
        assert "no inodes free" in one_line(write_text, folder / "c.txt", "x")
        assert "no inodes free" in one_line(make_temporary, folder, "set")
        assert files_in(folder) == {"a", "b"}
        (folder / "a").unlink()
        write_text(folder / "c.txt", "x")


def test_a_read_only_file_system_gives_a_one_line_error(tmp_path):
    with mounted(tmp_path / "disk", "size=1m,ro") as folder:
        for name in ("a.json", "rows.npy", "a.safetensors", ".slim-bench-state"):
            message = one_line(WRITERS[name], folder / name)
            assert message == f"{folder / name}: Read-only file system; choose a folder that is writable"
        with pytest.raises(SystemExit, match=r"^slim-bench: error: .*Read-only file system"):
            clear_stale_lock(folder / ".snakemake")


def test_a_file_size_limit_gives_a_one_line_error(tmp_path):
    with largest_file(2000):
        for name in WRITERS.keys() - {"history.csv", ".slim-bench-state", "summary.csv", "copy.bin"}:
            message = one_line(WRITERS[name], tmp_path / name)
            assert message.startswith(f"{tmp_path / name}: File too large (the limit is 2.0 kB); raise the limit"), (
                message
            )
    assert not files_in(tmp_path)


def test_too_many_open_files_give_a_one_line_error(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, before[1]))
    try:
        message = one_line(write_text, tmp_path / "a.txt", "x")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert message.startswith(f"{tmp_path / 'a.txt'}: Too many open files (the limit is {lowest}); raise the limit")


def test_a_write_without_permission_gives_a_one_line_error(tmp_path, monkeypatch):
    def refuse(**options):  # simulated, because root may write everywhere
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), f"{options['dir']}/.a.txt.part")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    assert one_line(write_text, tmp_path / "a.txt", "x").startswith(f"{tmp_path / 'a.txt'}: Permission denied; change")


@pytest.mark.parametrize("call", ["fsync", "replace", "chmod"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_a_system_call_that_is_refused_at_the_end_keeps_the_old_file(tmp_path, monkeypatch, call, number):
    write_text(tmp_path / "a.txt", "old")

    def refuse(*_):
        raise OSError(number, os.strerror(number), *([".a.txt.part"] if call != "fsync" else []))

    monkeypatch.setattr(os, call, refuse)
    message = one_line(write_text, tmp_path / "a.txt", "new")
    assert str(tmp_path) in message and "a.txt" in message and os.strerror(number) in message and ".part" not in message
    monkeypatch.undo()
    assert files_in(tmp_path) == {"a.txt"} and (tmp_path / "a.txt").read_text() == "old"


def test_a_quota_error_names_the_quota(tmp_path):
    message = str(storage_error(OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), tmp_path / "new/a.bin", 12_345))
    assert message.startswith(f"{tmp_path}: Disk quota exceeded for a.bin (12.3 kB needed); free space or request")
    assert readable_size(999) == "999 bytes" and readable_size(2_500_000_000) == "2.5 GB"


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS])
def test_a_file_system_without_reservation_gets_the_same_array(tmp_path, monkeypatch, number):
    fill_rows(tmp_path / "a.npy")

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    fill_rows(tmp_path / "b.npy")
    np.save(tmp_path / "c.npy", np.stack([PIXELS] * 4))
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes() == (tmp_path / "c.npy").read_bytes()
    with largest_file(300_000):
        assert "File too large" in one_line(fill_rows, tmp_path / "d.npy")
    assert not (tmp_path / "d.npy").exists()


def test_rows_of_another_shape_or_type_are_refused(tmp_path):
    for row in (PIXELS[:5], PIXELS.astype(np.int64)):
        rows = array_by_row(tmp_path / "a.npy", (1, *PIXELS.shape), PIXELS.dtype)
        with pytest.raises(ValueError, match="row 0 is"), rows as write:
            write(0, row)
    assert not files_in(tmp_path)


def test_an_archive_on_a_full_disk(full, monkeypatch):
    archive = full.parent / "pets.tar"
    archive.write_bytes(tar_bytes({"a.bin": bytes(50_000), "b/c.bin": b"x"}))
    message = one_line(extract_archive, archive, full / "pets")
    assert message == f"{archive}: unpacks to 50000 bytes or more, but 0 bytes are free in {full}; free some space"
    monkeypatch.setattr("bench.data.limits.check_free_space", lambda *_: None)  # used by another process
    assert one_line(extract_archive, archive, full / "pets").startswith(f"{full}: No space left on device for pets.tar")
    assert not files_in(full) and [path.name for path in full.iterdir()] == ["filler.bin"]
    free(full)
    extract_archive(archive, full / "pets")
    assert files_in(full) == {"pets/a.bin", "pets/b/c.bin"}


class Means:
    name, dim, weights_sha256, device = "means", 3, "0" * 64, "cpu"

    def __call__(self, images):
        return images.float().mean(dim=(2, 3))


@pytest.mark.parametrize("options", ["size=1m,ro", "size=4k,nr_inodes=1"])
def test_an_unwritable_cache_does_not_change_the_result(tmp_path, capsys, options):
    batches = lambda: [torch.ones(2, 3, 8, 8, dtype=torch.uint8)]  # noqa: E731
    with mounted(tmp_path / "disk", options) as folder:
        assert cached_features(Means(), "a" * 64, batches, folder).tolist() == [[1, 1, 1], [1, 1, 1]]
        (message,) = capsys.readouterr().err.splitlines()
        assert message.startswith("features not cached: ") and str(folder) in message
        assert not files_in(folder)


def last_line(capsys) -> str:
    *_, line = capsys.readouterr().err.splitlines()
    return line


def test_a_library_that_wraps_a_full_disk_gives_a_one_line_error(monkeypatch, capsys):
    def compile_network(*_):
        try:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/cache/kernel.py")
        except OSError as error:
            raise RuntimeError("backend raised an error\nSet TORCH_LOGS") from error

    monkeypatch.setattr("bench.commands.planning.run_state", compile_network)
    assert main(["status"]) == 2
    assert last_line(capsys).startswith("slim-bench: error: /: No space left on device for kernel.py (")


def test_freeze_on_a_full_disk(full, capsys):
    assert main([*FREEZE, str(full / "my")]) == 2
    assert last_line(capsys).startswith(f"slim-bench: error: {full / 'my'}: No space left on device for run.json (")
    assert not files_in(full)
    free(full)
    assert main([*FREEZE, str(full / "my")]) == 0


def test_collect_on_a_full_disk(project, monkeypatch, capsys):
    monkeypatch.chdir(project)
    with mounted(project / "results", "size=8m") as results:
        make_results(project, seeds=1)
        fill(results)
        before = files_in(results)
        assert main(["collect"]) == 2
        assert last_line(capsys).startswith("slim-bench: error: results/demo: No space left on device for scores.csv (")
        assert files_in(results) == before
        free(results)
        assert main(["collect"]) == 0


def test_the_workflow_on_a_full_disk_gives_a_one_line_error(full, monkeypatch):
    plan = WorkflowPlan.open({})
    monkeypatch.setattr(plan.outdated, "source", lambda dataset: "another archive")
    monkeypatch.chdir(full)

    class Wildcards(list):
        dataset = "pets"

    with pytest.raises(SystemExit, match=r"^slim-bench: error: results/.outdated/fetch: No space left on device for "):
        plan.outdated_input("fetch")(Wildcards(["pets"]))
    assert not files_in(full)


def test_snakemake_does_not_start_on_a_full_disk(full, monkeypatch):
    """Snakemake itself would end with a traceback, on a node of a cluster too."""
    monkeypatch.chdir(full)
    with pytest.raises(
        SystemExit, match=r"^slim-bench: error: \.: No space left on device for \.snakemake \(1\.0 MB needed"
    ):
        WorkflowPlan.open({})
    free(full)
    monkeypatch.setattr("bench.workflow.MIN_FREE_BYTES", 1000)
    WorkflowPlan.open({})


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no /dev/full")
def test_output_to_a_full_disk_gives_a_one_line_error():
    command = [sys.executable, "-m", "bench.cli", "plan"]
    with open("/dev/full", "w") as output:
        done = subprocess.run(command, cwd=ROOT, stdout=output, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    (message,) = done.stderr.splitlines()
    assert message.startswith("slim-bench: error: ") and "No space left on device" in message
