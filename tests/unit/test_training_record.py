"""Reading of model.json by plan, status and report."""

import json

import pytest

from bench.errors import InputError
from bench.training_record import read_trained

RECORD = {"status": "ok", "run_sha256": "a", "training": {"seconds": 1, "rollbacks": [{"reason": "nan", "step": 3}]}}


@pytest.mark.parametrize("change", [{}, {"training": None}, {"later_key": {"any": 1}}, {"training": {"later": []}}])
def test_records_of_all_versions_are_read(tmp_path, change):
    (tmp_path / "model.json").write_text(json.dumps(RECORD | change))
    assert read_trained(tmp_path / "model.json").run_sha256 == "a"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "not JSON"),
        ('{"status": "ok", "run', "not JSON"),
        ("[]", "Input should be an object"),
        ("{}", "status: Field required"),
        (json.dumps(RECORD | {"status": "done"}), "status: Input should be"),
        (json.dumps(RECORD | {"run_sha256": 3}), "run_sha256: Input should be"),
        (json.dumps(RECORD | {"training": []}), "training: Input should be"),
        (json.dumps(RECORD | {"training": {"rollbacks": [{}]}}), "training.rollbacks.0.reason: Field required"),
        (json.dumps(RECORD | {"versions": {"torch": 2}}), "versions.torch: Input should be"),
    ],
)
def test_a_damaged_record_gives_a_one_line_error(tmp_path, text, problem):
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(InputError, match=f"model.json: {problem}") as error:
        read_trained(tmp_path / "model.json")
    assert "\n" not in str(error.value)
