"""A damaged record is recreated from the other files, or the error names the file to delete."""

import json
import os
import shutil
import signal

import pytest

from bench.cli import main
from bench.data.manifest import MANIFEST
from bench.data.ownership import own_prepared_files
from bench.data.receipts import read_receipt, receipt_path
from bench.files import read_json, write_json
from bench.input_hashes import file_digest
from bench.paths import META, META_COPY, WEIGHTS
from bench.run import write_run
from bench.train import train
from bench.train.loop.history import History
from tests.helpers.tiny import tiny_run, write_data

DAMAGE = {
    "truncated": lambda path, data: path.write_bytes(data[: len(data) // 2]),
    "early": lambda path, data: path.write_bytes(data[:3]),
    "empty": lambda path, data: path.write_bytes(b""),
    "list": lambda path, data: path.write_bytes(b"[]"),
    "object": lambda path, data: path.write_bytes(b"{}"),
    "text": lambda path, data: path.write_bytes(b'"x"'),
    "types": lambda path, data: path.write_text(json.dumps({key: [{"a": 5}] for key in json.loads(data)})),
    "numbers": lambda path, data: path.write_text(json.dumps(dict.fromkeys(json.loads(data), 7))),
    "binary": lambda path, data: path.write_bytes(bytes(range(256))),
    "utf-16": lambda path, data: path.write_text(data.decode(), encoding="utf-16"),
    "deep": lambda path, data: path.write_bytes(b"[" * 100_000),
    "long": lambda path, data: path.write_bytes(b'{"a": ' + b"1" * 5000 + b"}"),
    "nan": lambda path, data: path.write_bytes(b'{"a": NaN}'),
    "sparse": lambda path, data: (path.write_bytes(data), os.truncate(path, 2**40)),
    "directory": lambda path, data: path.mkdir(),
    "pipe": lambda path, data: os.mkfifo(path),
    "device": lambda path, data: path.symlink_to("/dev/zero"),
    "loop": lambda path, data: path.symlink_to(path.name),
}


def damage(path, kind):
    data = path.read_bytes()
    path.unlink()
    DAMAGE[kind](path, data)


@pytest.fixture(autouse=True)
def no_waiting():
    """Make a command that waits for a pipe fail, instead of blocking the test suite."""

    def fail(*_):
        raise TimeoutError("still waiting")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    run = tiny_run("classification", write_data("classification", folder / "data"), epochs=1, warmup_epochs=0)
    write_run(folder / "run/run.json", run)
    train(run, folder / "run", folder / "state")
    return folder


@pytest.fixture
def workdir(trained, tmp_path, monkeypatch):
    shutil.copytree(trained, tmp_path / "p")
    monkeypatch.chdir(tmp_path / "p")
    run = tiny_run("classification", tmp_path / "p/data", epochs=1, warmup_epochs=0)
    for name in (META, META_COPY):
        record = read_json(tmp_path / "p/run" / name)
        write_json(tmp_path / "p/run" / name, record | {"run_sha256": run.hash})
    write_run(tmp_path / "p/run/run.json", run)
    return tmp_path / "p"


def run_command(capsys, *words) -> tuple[int, str]:
    """Return the exit code of a command and the last line on stderr. It must succeed or print a one-line error."""
    code = main([str(word) for word in words])
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("slim-bench: ")]
    assert code in (0, 2) and len(lines) == (code == 2)
    return code, "".join(lines)


@pytest.mark.parametrize("kind", DAMAGE)
def test_model_json_is_written_again_from_its_copy(workdir, capsys, kind):
    record = read_json(workdir / "run" / META)
    damage(workdir / "run" / META, kind)
    code, message = run_command(capsys, "sample", "--model", "run", "--out", "x.png")
    assert code == 2 and str(META) in message
    code, message = run_command(capsys, "evaluate", "--run", "run")
    assert code == 2 and str(META) in message
    assert run_command(capsys, "train", "--run", "run")[0] == 0
    assert read_json(workdir / "run" / META) == record


@pytest.mark.parametrize("kind", DAMAGE)
def test_run_json_is_named_with_the_command_that_writes_it(workdir, capsys, kind):
    damage(workdir / "run/run.json", kind)
    for command in ("train", "evaluate"):
        code, message = run_command(capsys, command, "--run", "run/run.json")
        assert code == 2 and "run" in message and ("freeze" in message or "run.json: " in message)


@pytest.mark.parametrize("kind", ["truncated", "early", "empty"])
def test_freeze_rewrites_a_truncated_run_json(workdir, capsys, project, kind, monkeypatch):
    monkeypatch.chdir(project)
    words = ["--experiment", "fastgan-sle", "--dataset", "fluent-emoji-100", "--seed", "0", "--out", "my/run.json"]
    assert main(["freeze", *words]) == 0
    before = (project / "my/run.json").read_bytes()
    damage(project / "my/run.json", kind)
    assert main(["freeze", *words]) == 0
    assert (project / "my/run.json").read_bytes() == before


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_manifest_is_named_and_training_fails_once(workdir, capsys, kind):
    (workdir / "run" / META).unlink()
    (workdir / "run" / META_COPY).unlink()
    damage(workdir / "data" / MANIFEST, kind)
    for command in ("train", "evaluate"):
        code, message = run_command(capsys, command, "--run", "run")
        assert code == 2 and ("prepare" in message or command == "evaluate")


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_prepared_data_are_recognised_by_format(workdir, kind):
    damage(workdir / "data" / MANIFEST, kind)
    own = own_prepared_files(workdir / "data", is_default=True)
    assert ("train_images.npy" in own) == (kind in ("truncated", "early", "empty", "sparse", "loop"))


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_receipt_is_ignored(tmp_path, kind):
    path = tmp_path / receipt_path("a")
    write_json(path, {"dataset": "a", "entry_sha256": "x", "content_sha256": "y", "members": [], "place": "z"})
    damage(path, kind)
    assert read_receipt("a", tmp_path).get("place") is None


@pytest.mark.parametrize("kind", sorted(DAMAGE.keys() - {"types", "numbers", "utf-16", "loop"}))
def test_damaged_weights_are_moved_aside_and_the_run_is_retrained(workdir, capsys, kind):
    damage(workdir / "run" / WEIGHTS, kind)
    code, message = run_command(capsys, "classify", "--model", "run", "x.png")
    assert code == 2 and WEIGHTS in message
    assert run_command(capsys, "train", "--run", "run")[0] == 0
    assert main(["classify", "--model", "run", "x.png"]) == 2  # x.png alone is missing now
    assert "x.png: no such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"step,lo",
        b"\xff\xfe" * 50,
        b"[]\n",
        b"loss,seconds\n1,2\n",
        b"step,loss\nx,1\n\x00\n2,3,4,5\n4,",
        b'step,"a\n1\n',
    ],
)
def test_a_damaged_history_keeps_readable_rows_and_gets_a_header(tmp_path, damaged):
    path = tmp_path / "history.csv"
    path.write_bytes(damaged)
    history = History(path)
    history.cut_after(3)
    history.add({"step": 4, "loss": 0.5})
    history.add({"step": 6, "loss": 0.25})
    rows = History(path).read()
    assert [(row["step"], row["loss"]) for row in rows[-2:]] == [("4", "0.5"), ("6", "0.25")]
    assert path.read_text().startswith("step,")


def test_the_zeros_of_a_sparse_history_are_ignored(tmp_path):
    History(tmp_path / "history.csv").add({"step": 1, "loss": 1.0})
    os.truncate(tmp_path / "history.csv", 2**40)
    history = History(tmp_path / "history.csv")
    history.cut_after(1)
    assert (tmp_path / "history.csv").read_text() == "step,loss\n1,1\n"


def test_a_history_that_was_removed_gets_its_header_again(tmp_path):
    history = History(tmp_path / "history.csv")
    history.add({"step": 1, "loss": 1.0})
    (tmp_path / "history.csv").unlink()
    history.add({"step": 2, "loss": 0.5})
    assert (tmp_path / "history.csv").read_text() == "step,loss\n2,0.5\n"


def test_a_record_of_terabytes_is_not_hashed(tmp_path):
    """Hashing it would take an hour in every `collect` and every plan."""
    (tmp_path / "scores.json").write_text("{}")
    assert file_digest(tmp_path / "scores.json") is not None
    os.truncate(tmp_path / "scores.json", 2**40)
    assert file_digest(tmp_path / "scores.json") is None
