"""Each kind of file is recognised by its content, complete or truncated. Other files are not."""

import json

import pytest
from PIL import Image

from bench import ownership
from bench.card import is_model_card
from bench.errors import InputError
from bench.files import write_json, write_png
from bench.ownership import refuse_foreign
from bench.report.read.collect import OUTPUT_TESTS

FOREIGN = {
    "binary": b"\xff\xd8\xff\xe0" + bytes(range(256)),
    "short binary": b"\xff\xd8",
    "text": b"my notes\n",
    "blank line, then text": b"\n\nmy notes\n",
    "json": b'{"metric": "ece", "mine": true}',
    "list": b"[1, 2]",
    "deep": b"[" * 100_000,
    "nul": b"\0" * 64,
    "table": b"name,value\na,1\n",
    "large header": (1 << 62).to_bytes(8, "little") + b"{}",
}
TESTS = {
    name: getattr(ownership, f"is_{name}")
    for name in ("run", "record", "score", "score_list", "weights", "history", "image_grid", "checkpoint")
} | {name: OUTPUT_TESTS[name] for name in OUTPUT_TESTS}


@pytest.mark.parametrize("content", FOREIGN)
@pytest.mark.parametrize("test", TESTS)
def test_foreign_files_are_not_recognised(tmp_path, test, content):
    path = tmp_path / "ece.json"
    path.write_bytes(FOREIGN[content])
    assert not TESTS[test](path)


@pytest.mark.parametrize("test", TESTS)
def test_a_folder_is_not_a_file_of_slim_bench(tmp_path, test):
    assert not TESTS[test](tmp_path)


def test_image_files_contain_the_software_tag(tmp_path):
    write_png(tmp_path / "a.png", Image.new("L", (2, 2)))
    Image.new("L", (2, 2)).save(tmp_path / "b.png")
    assert ownership.is_image_grid(tmp_path / "a.png") and not ownership.is_image_grid(tmp_path / "b.png")
    with Image.open(tmp_path / "a.png") as image:
        assert image.info["Software"] == "slim-bench"


def test_the_metric_of_a_score_is_the_name_of_its_file(tmp_path):
    score = {"metric": "ece", "value": 1.0, "protocol": "p", "status": "ok", "run_sha256": "x", "run": "a/b/seed0"}
    for name, weights, ours in (("ece", "last", True), ("ece@best", "best", True), ("ece", "best", False)):
        write_json(tmp_path / f"{name}.json", score | {"weights": weights})
        assert ownership.is_score(tmp_path / f"{name}.json") == ours
    write_json(tmp_path / "top1.json", score)
    assert not ownership.is_score(tmp_path / "top1.json")


def test_a_model_card_with_added_text_is_foreign():
    head = "# a/b/seed0\n\n| | |\n|---|---|\n| network | `x` |\n\n"
    card = head + "not for any use in which its output is taken for real.\n"
    assert is_model_card(card)
    assert not is_model_card(card + "\nMy notes.\n") and not is_model_card("My notes.\n" + card)


def test_a_foreign_file_is_refused_with_the_next_step(tmp_path):
    path = tmp_path / "a name.json"
    ownership.refuse_foreign(path, ownership.is_run, "move it")
    path.write_text(json.dumps({"mine": 1}))
    with pytest.raises(ownership.InputError, match=r"a name\.json: is not a file that slim-bench wrote.*; move it$"):
        ownership.refuse_foreign(path, ownership.is_run, "move it")
    path.unlink()
    path.symlink_to("nothing")
    with pytest.raises(ownership.InputError, match="is not a file that slim-bench wrote"):
        ownership.refuse_foreign(path, ownership.is_run, "move it")


def test_an_unreadable_file_is_not_called_foreign(tmp_path, monkeypatch):
    """Its owner is unknown, and the remedy is to change its permissions."""
    (tmp_path / "scores.csv").write_text("scale\n")
    monkeypatch.setattr("bench.ownership.os.access", lambda path, mode: False)
    with pytest.raises(InputError, match=r"scores\.csv: Permission denied; change its permissions"):
        refuse_foreign(tmp_path / "scores.csv", lambda path: False, "move it away")
