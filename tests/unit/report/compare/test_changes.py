"""Comparison of two results: noise over seeds, intervals of single seeds, and scores that cannot be compared."""

from dataclasses import replace

import pytest

from bench.cli import build_parser, main
from bench.commands import sharing
from bench.errors import InputError
from bench.report.compare.changes import agreement_changes, find_changes, welch
from bench.report.compare.changes_output import changes_table, summary
from bench.report.compare.reference import ReferenceScore, agreements
from bench.report.html import environment
from bench.report.read.row import Row
from bench.report.read.scores import Scores
from tests.helpers.report_fixture import collected, make_results


def rows(values, **fields):
    defaults = {"experiment": "a", "dataset": "d", "metric": "fid_cleanfid", "weights": "last", "protocol": "fid/x"}
    return [
        Row.of(defaults | {"run": f"a/d/seed{seed}", "seed": seed, "value": value, "status": "ok"} | fields)
        for seed, value in enumerate(values)
    ]


def only_change(first, second):
    (change,) = find_changes(Scores(first), Scores(second))
    return change


def test_a_difference_much_larger_than_the_spread_over_seeds_is_a_change():
    assert only_change(rows([10.0, 10.1, 9.9]), rows([20.0, 20.1, 19.9])).state == "changed"
    assert only_change(rows([10.0, 14.0, 6.0]), rows([11.0, 15.0, 7.0])).state == "within noise"
    assert only_change(rows([10.0, 11.0]), rows([10.0, 11.0])).state == "equal"


def test_the_test_is_corrected_for_the_number_of_scores():
    first, second = rows([10.0, 10.5, 9.5]), rows([11.2, 11.7, 10.7])
    alone = only_change(first, second)
    assert alone.state == "changed" and alone.p == pytest.approx(welch([10.0, 10.5, 9.5], [11.2, 11.7, 10.7]))
    first, second = (
        [replace(row, metric=f"m{index}") for index in range(10) for row in side] for side in (first, second)
    )
    more = find_changes(Scores(first), Scores(second))
    assert {change.state for change in more} == {"within noise"}


def test_single_seeds_compare_intervals_over_images():
    first = rows([10.0], interval_low=9.0, interval_high=11.0)
    assert only_change(first, rows([13.0], interval_low=12.0, interval_high=14.0)).state == "changed"
    assert only_change(first, rows([10.5], interval_low=10.0, interval_high=11.5)).state == "within noise"
    assert only_change(first, rows([13.0])).state == "undetermined"


def test_a_different_count_is_a_change():
    assert only_change(rows([100.0], metric="params"), rows([101.0], metric="params")).state == "changed"


@pytest.mark.parametrize("field", ["protocol", "data_sha256"])
def test_other_protocols_and_data_are_not_comparable(field):
    change = only_change(rows([1.0, 2.0]), rows([1.0, 2.0], **{field: "fid/y"}))
    assert change.state == "not comparable" and "fid/y" in change.reason


def test_missing_and_failed_scores_have_their_reason():
    failed = rows([None], status="failed", reason="not finite")
    changes = find_changes(Scores(rows([1.0]) + rows([2.0], metric="m")), Scores(failed + rows([2.0], metric="m")))
    assert (changes[0].state, changes[0].reason) == ("only in A", "not finite")
    with pytest.raises(InputError, match="no score of the same experiment"):
        find_changes(Scores(rows([1.0])), Scores(rows([1.0], dataset="other")))


def test_p_of_constant_inputs_is_zero_or_one():
    assert welch([1.0, 1.0], [2.0, 2.0]) == 0.0 and welch([1.0, 1.0], [1.0, 1.0]) == 1.0


def test_reference_results_have_tolerances():
    expected = tuple(
        ReferenceScore(
            run=f"a/d/seed{i}", metric="fid_cleanfid", weights="last", protocol="fid/x", n=None, mean=10.0, tolerance=t
        )
        for i, t in enumerate((1.0, 3.0, 1.0))
    )
    changes = agreement_changes(agreements(Scores(rows([12.0, 12.0])), expected))
    assert [change.state for change in changes] == ["changed", "only in B", "within noise"]


def test_the_summary_counts_states_and_the_page_escapes_names():
    changes = find_changes(Scores(rows([1.0], experiment="<b>")), Scores(rows([1.0], experiment="<b>")))
    assert summary(changes) == "1 equal" and changes_table(changes, "t").rows[0][1].text == "<b>"
    assert environment().from_string("{{ x }}").render(x="<b>\x1b") == "&lt;b&gt;\\x1b"
    assert build_parser().parse_args(["compare", "a", "b"]).function is sharing.compare


def test_compare_prints_changes_and_writes_a_page(tmp_path, capsys):
    scale_dir = make_results(tmp_path, seeds=2)
    collected(scale_dir)
    page = tmp_path / "page.html"
    assert main(["compare", str(scale_dir), str(scale_dir / "scores.csv"), "--out", str(page)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[-2].endswith("equal") and printed[-1] == f"page: {page}"
    assert "<h1>Comparison of results</h1>" in page.read_text()
    page.write_text("mine")
    assert main(["compare", str(scale_dir), str(scale_dir), "--out", str(page)]) == 2
    assert page.read_text() == "mine"
    assert main(["compare", str(scale_dir), str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"slim-bench: error: {tmp_path / 'none'}: no such file")
