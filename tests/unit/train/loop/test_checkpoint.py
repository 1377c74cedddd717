"""Checkpoints: two are kept, damaged ones are skipped, foreign or malicious ones refused, full disks handled."""

import hashlib
import io
import json
import os
import pickle
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bench.errors import InputError
from bench.train.loop.checkpoint import MAGIC, Checkpoints
from tests.helpers import ROOT

RUN, DATA = "r" * 64, "d" * 64
FOREIGN = [("run_sha256", "run.json"), ("data_sha256", "dataset"), ("torch", "torch")]


def checkpoints(folder: Path) -> Checkpoints:
    return Checkpoints(folder, RUN, DATA)


def state(value: float) -> dict:
    return {"weight": torch.full((100,), value), "nested": [{"n": 1, "text": "x", "none": None}], "flag": True}


def test_the_two_newest_checkpoints_are_kept_and_read(tmp_path):
    store = checkpoints(tmp_path)
    for step in range(4):
        store.save(step, state(step), {"threads": 1})
    assert [p.name for p in store.files()] == ["step-0000000002.ckpt", "step-0000000003.ckpt"]
    saved = checkpoints(tmp_path).load_latest()
    assert saved.step == 3 and saved.environment == {"threads": 1}
    assert torch.equal(saved.state["weight"], torch.full((100,), 3.0))
    assert saved.state["nested"] == state(3)["nested"]


def test_an_empty_folder_has_no_checkpoint(tmp_path):
    assert checkpoints(tmp_path / "new").load_latest() is None


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "header", "sparse"])
def test_a_damaged_newest_checkpoint_is_replaced_by_the_previous_one(tmp_path, damage, capsys):
    store = checkpoints(tmp_path)
    store.save(1, state(1))
    newest = store.save(2, state(2))
    data = bytearray(newest.read_bytes())
    if damage == "flip":
        data[-50] ^= 1
    elif damage == "truncate":
        del data[-100:]
    elif damage == "empty":
        data.clear()
    elif damage == "header":
        data[len(MAGIC) + 70] ^= 1
    newest.write_bytes(data)
    if damage == "sparse":
        os.truncate(newest, 2**40)
    assert store.load_latest().step == 1
    assert newest.name in capsys.readouterr().err
    store.save(1, state(1))
    assert [p.name for p in store.files()] == ["step-0000000001.ckpt"], (
        "a damaged checkpoint must not replace a valid one"
    )


def test_training_restarts_if_all_checkpoints_are_damaged(tmp_path):
    store = checkpoints(tmp_path)
    store.save(1, state(1)).write_bytes(b"nothing")
    assert store.load_latest() is None


def forged(payload: bytes, **fields: str) -> bytes:
    header = {"step": 1, "run_sha256": RUN, "data_sha256": DATA, "torch": torch.__version__, "environment": {}}
    body = json.dumps({**header, **fields}).encode() + b"\n" + payload
    return MAGIC + hashlib.sha256(body).hexdigest().encode() + b"\n" + body


class MaliciousPickle:
    def __init__(self, command: str):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("container", ["zip", "pickle"])
def test_malicious_pickle_is_refused_and_not_run(tmp_path, container):
    command = f"touch {tmp_path / 'pwned'}"
    buffer = io.BytesIO()
    if container == "zip":
        torch.save({"weight": MaliciousPickle(command)}, buffer)
    else:
        buffer.write(pickle.dumps(MaliciousPickle(command)))
    store = checkpoints(tmp_path)
    (tmp_path / "step-0000000001.ckpt").write_bytes(forged(buffer.getvalue()))
    with pytest.raises(InputError, match=r"step-0000000001.ckpt: refused"):
        store.load_latest()
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    ("field", "words"), [("run_sha256", "run.json"), ("data_sha256", "dataset"), ("torch", "torch")]
)
def test_the_error_for_another_runs_checkpoint_names_both_runs(tmp_path, field, words):
    (tmp_path / "step-0000000001.ckpt").write_bytes(forged(b"", **{field: "something-else"}))
    with pytest.raises(InputError) as caught:
        checkpoints(tmp_path).load_latest()
    text = str(caught.value)
    mine = {"run_sha256": RUN, "data_sha256": DATA, "torch": torch.__version__}[field]
    assert words in text and "something-else" in text and mine in text and "delete" in text and "\n" not in text


def test_a_full_disk_gives_a_clear_error_and_keeps_the_old_file(tmp_path):
    code = (
        "import resource, sys, torch; from pathlib import Path; from bench.train.loop.checkpoint import Checkpoints\n"
        f"store = Checkpoints(Path(sys.argv[1]), {RUN!r}, {DATA!r}); store.save(1, {{'w': torch.ones(10)}})\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))\n"
        "try: store.save(2, {'w': torch.ones(100_000)})\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    root = ROOT
    done = subprocess.run([sys.executable, "-c", code, tmp_path], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("InputError") and "no space for a checkpoint of 0.4 MB" in done.stdout
    assert "step-0000000001.ckpt is intact" in done.stdout
    assert [p.name for p in tmp_path.iterdir()] == ["step-0000000001.ckpt"]
    assert checkpoints(tmp_path).load_latest().step == 1
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
