"""Training resumes from readable checkpoints and histories, or the error names the folder to delete."""

import hashlib
import io
import json
import os

import pytest
import torch

from bench.errors import InputError
from bench.train.loop.checkpoint import MAGIC, Checkpoints
from bench.train.loop.history import History
from tests.helpers.toy import DATA_SHA, ToyEngine, toy_run
from tests.unit.train.loop.test_loop import CPU, train

RUN_SHA = "r" * 64


def forged(head: bytes, state: object) -> bytes:
    """Return the bytes of a checkpoint with any header and state, and a valid checksum."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    body = head + buffer.getvalue()
    return MAGIC + hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def header(**changes: object) -> bytes:
    value = {"step": 2, "run_sha256": RUN_SHA, "data_sha256": DATA_SHA, "torch": torch.__version__, "environment": {}}
    return json.dumps(value | changes).encode() + b"\n"


DAMAGE = {
    "empty": lambda path: path.write_bytes(b""),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:200]),
    "flipped": lambda path: path.write_bytes(path.read_bytes()[:-1] + b"?"),
    "binary": lambda path: path.write_bytes(bytes(range(256))),
    "directory": lambda path: (path.unlink(), path.mkdir()),
    "pipe": lambda path: (path.unlink(), os.mkfifo(path)),
    "device": lambda path: (path.unlink(), path.symlink_to("/dev/zero")),
    "no-newline": lambda path: path.write_bytes(forged(b"x" * 70_000, 0)),
    "invalid-json": lambda path: path.write_bytes(forged(b"[[\n", 0)),
    "list-header": lambda path: path.write_bytes(forged(b"[]\n", 0)),
    "missing-keys": lambda path: path.write_bytes(forged(b"{}\n", 0)),
    "wrong-type": lambda path: path.write_bytes(forged(header(step="x"), 0)),
    "deeply-nested": lambda path: path.write_bytes(forged(b"[" * 50_000 + b"\n", 0)),
    "sparse": lambda path: (path.write_bytes(b"no"), os.truncate(path, 2**40)),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_checkpoint_is_renamed_and_the_previous_one_is_read(tmp_path, kind):
    checkpoints = Checkpoints(tmp_path, RUN_SHA, DATA_SHA)
    checkpoints.save(1, {"a": 1})
    DAMAGE[kind](checkpoints.save(2, {"a": 2}))
    saved = checkpoints.load_latest()
    assert saved.step == 1 and saved.state == {"a": 1}
    assert os.path.lexists(tmp_path / "step-0000000002.damaged")


@pytest.mark.parametrize("state", [3, [1, 2], "x"])
def test_the_error_for_a_checkpoint_without_a_state_suggests_training_from_scratch(tmp_path, state):
    (tmp_path / "step-0000000002.ckpt").write_bytes(forged(header(), state))
    with pytest.raises(InputError, match=r"delete .* to train from scratch"):
        Checkpoints(tmp_path, RUN_SHA, DATA_SHA).load_latest()


def stopped(folder, at=7):
    run = toy_run(checkpoint_seconds=1e-6, threads=1)
    engine = ToyEngine(run, CPU)
    original_step = engine.step

    def step(index):
        if index == at:
            raise KeyboardInterrupt
        return original_step(index)

    engine.step = step
    with pytest.raises(KeyboardInterrupt):
        train(folder, run, engine)
    return run


@pytest.mark.parametrize(
    "change",
    [
        lambda state: {},
        lambda state: state | {"engine": {}},
        lambda state: state | {"engine": 3},
        lambda state: state | {"window": []},
        lambda state: state | {"outcome": 3},
        lambda state: state | {"engine": state["engine"] | {"net": {"x": torch.zeros(2)}}},
    ],
    ids=["empty", "engine", "type", "window", "outcome", "tensors"],
)
def test_a_state_with_missing_or_mismatched_values_gives_a_one_line_error(tmp_path, change):
    run = stopped(tmp_path)
    checkpoints = Checkpoints(tmp_path / "state", run.hash, DATA_SHA)
    saved = checkpoints.load_latest()
    for path in checkpoints.files():
        path.unlink()
    checkpoints.save(saved.step, change(saved.state), saved.environment)
    with pytest.raises(InputError, match="delete the folder to train from scratch") as error:
        train(tmp_path, run)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("threads", [100_000, 0, "x", None])
def test_an_invalid_thread_count_in_a_checkpoint_gives_a_one_line_error(tmp_path, threads):
    run = stopped(tmp_path)
    checkpoints = Checkpoints(tmp_path / "state", run.hash, DATA_SHA)
    saved = checkpoints.load_latest()
    environment = saved.environment | ({} if threads is None else {"threads": threads})
    if threads is None:
        environment.pop("threads")
    for path in checkpoints.files():
        path.unlink()
    checkpoints.save(saved.step, saved.state, environment)
    with pytest.raises(InputError, match=r"threads are requested, but|delete the folder to train from scratch"):
        train(tmp_path, run)


@pytest.mark.parametrize("history", ["complete", "empty", "incomplete header", "incomplete line"])
def test_the_history_has_its_header_if_both_checkpoints_were_damaged(tmp_path, history):
    run = stopped(tmp_path)
    for path in (tmp_path / "state").glob("step-*.ckpt"):
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    path = tmp_path / "state/outputs/history.csv"
    data = path.read_bytes()
    path.write_bytes(
        {"complete": data, "empty": b"", "incomplete header": data[:7], "incomplete line": data[:-5]}[history]
    )
    train(tmp_path, run)
    text = (tmp_path / "out/history.csv").read_text()
    assert text.startswith("step,") and text.count("step,") == 1
    assert [row["step"] for row in History(tmp_path / "out/history.csv").read()] == ["2", "4", "6", "8", "10", "12"]
