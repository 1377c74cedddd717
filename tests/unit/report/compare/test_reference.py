"""Scores are within the tolerance of the reference results, outside or missing. A reference file is read strictly."""

import pytest

from bench.errors import InputError
from bench.files import write_json
from bench.report.compare.reference import (
    HeldOutSetting,
    ReferenceResults,
    ReferenceScore,
    agreements,
    read_reference,
    reference_path,
)
from bench.report.read.scores import Scores
from tests.helpers import ROOT
from tests.helpers.reference_cases import made_scores, reference_to

FID, TOP1 = ("slim", 0, "fid_cleanfid", "last"), ("resnet", 0, "top1", "last")
EXPECTED = reference_to(made_scores({FID: 320.0, TOP1: 88.0}), tolerance=5.0).scores


def states(scores: Scores) -> list[tuple[str, str]]:
    return [(found.state, found.reason) for found in agreements(scores, EXPECTED)]


@pytest.mark.parametrize(("value", "state"), [(320, "within"), (325, "within"), (314.9, "outside"), (325.1, "outside")])
def test_the_tolerance_separates_within_and_outside(value, state):
    assert states(made_scores({FID: value, TOP1: 88.0})) == [(state, ""), ("within", "")]


def test_a_failed_or_absent_score_is_missing_with_its_reason():
    assert states(made_scores({FID: None})) == [("missing", "not finite"), ("missing", "not in scores.csv")]


def test_a_value_of_another_protocol_is_outside_the_tolerance():
    (fid, _) = states(made_scores({FID: 320.0, TOP1: 88.0}, protocol="fid_cleanfid/other"))
    assert fid == ("outside", "protocols differ: fid_cleanfid/other, reference fid_cleanfid/made-up")


@pytest.mark.parametrize("metric", ["train_seconds", "latency"])
def test_measured_times_have_no_reference_value(metric):
    assert reference_to(made_scores({FID: 1.0, ("slim", 0, metric, "last"): 2.0}), 0.0).scores[1:] == ()


def test_a_reference_is_unchanged_by_writing_and_reading(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    reference = reference_to(made_scores({FID: 320.0, TOP1: 88}), 5)
    write_json(reference_path("demo"), reference.model_dump(mode="json"))
    assert read_reference("demo") == reference


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tolerances": 1}, "demo.json: tolerances: "),
        ({"scores": []}, "demo.json: scores: "),
        ({"scale": "tiny"}, "demo.json: scale: contains reference results of tiny"),
        ({"schema_version": 2}, "demo.json: schema_version: "),
        ({"scores": [score.model_dump() for score in EXPECTED[:1] * 2]}, "fid_cleanfid of last occurs twice"),
        ({"scores": [EXPECTED[0].model_dump() | {"tolerance": -1}]}, "demo.json: scores.0.tolerance: "),
    ],
)
def test_a_damaged_reference_is_an_error_with_file_and_key(tmp_path, monkeypatch, change, message):
    monkeypatch.chdir(tmp_path)
    value = reference_to(made_scores({FID: 320.0}), 5).model_dump(mode="json") | change
    write_json(reference_path("demo"), value)
    with pytest.raises(InputError, match=r"^benchmarks/reference/demo\.json: ") as caught:
        read_reference("demo")
    assert message in str(caught.value)


def test_a_missing_reference_names_the_command_that_records_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"demo\.json: no such file; `python -m benchmarks reference demo` records it"):
        read_reference("demo")


def test_the_format_of_the_file_is_documented():
    page = (ROOT / "docs/reference/report.md").read_text()
    for model in (ReferenceResults, ReferenceScore, HeldOutSetting):
        for name, field in model.model_fields.items():
            assert f"`{name}`" in page and field.description, f"{model.__name__}.{name}"
