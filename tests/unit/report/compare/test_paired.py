"""Selection of the scores that are combined in a paired test."""

import pytest

from bench.errors import InputError
from bench.files import sha256_json
from bench.metrics.protocol import ProtocolError
from bench.report.compare.claims import decide_claims
from bench.report.compare.paired import compare_experiments
from bench.report.tables.significance import descriptive_table, paired_table, summary_table
from tests.helpers.report_fixture import (
    claim_results,
    claim_settings,
    collected,
    run_description,
    write_run,
    write_score,
)


def scored(scale_dir, name, dataset, seed, **changes):
    run = run_description("paper", "fewshot", name, dataset, seed, ["fid_authors"])
    write_score(write_run(scale_dir, run), "fid_authors", 40.0 + seed, **changes)


def test_seeds_are_averaged_first_and_the_dataset_is_the_unit(tmp_path):
    scores = claim_results(tmp_path, (40.0, 45.0, 30.0, 20.0), (50.0, 50.0, 40.0, 25.0))
    found = compare_experiments(scores, claim_settings())
    across = [result for result in found if result.unit == "dataset"]
    assert len(across) == 1 and across[0].paired.n == 4 and across[0].dataset == "all 4 datasets"
    assert across[0].paired.mean == pytest.approx((0.2 + 0.1 + 0.25 + 0.2) / 4, abs=2e-3)
    within = [result for result in found if result.unit == "seed"]
    assert len(within) == 4 and all(result.paired.n == 5 for result in within)
    assert all(result.p_holm >= result.paired.p for result in within)


def test_two_seeds_show_points_and_no_test(tmp_path):
    found = compare_experiments(claim_results(tmp_path, 40.0, 50.0, seeds=2), claim_settings())
    within = [result for result in found if result.unit == "seed"]
    assert {result.significance(0.05) for result in within} == {"not tested (2 seeds)"}
    assert all(r.paired.p is None and r.paired.low is None and r.paired.effect is None for r in within)


def test_two_protocols_are_never_combined_in_a_test(tmp_path):
    for name in ("slim", "sle"):
        scored(tmp_path / "paper", name, "a", 0, protocol=f"fid_authors/{name}")
    scores = collected(tmp_path / "paper")
    with pytest.raises(ProtocolError, match="'fid_authors/slim' and 'fid_authors/sle'"):
        compare_experiments(scores, claim_settings())
    with pytest.raises(ProtocolError, match="slim against sle on a"):
        decide_claims(scores, claim_settings(sets=("a",)), "paper")


def test_seeds_of_two_protocols_are_refused_with_a_remedy(tmp_path):
    """The error is one line with both ids, their runs and the next step."""
    for name in ("slim", "sle"):
        for seed, fake in enumerate((5000, 500)):
            scored(tmp_path / "paper", name, "a", seed, protocol=f"fid_authors/fake{fake}")
    with pytest.raises(InputError) as raised:
        compare_experiments(collected(tmp_path / "paper"), claim_settings())
    assert str(raised.value) == (
        "fid_authors: slim against sle on a: scores of two protocols: 'fid_authors/fake5000' and "
        "'fid_authors/fake500'; the runs are slim/a/seed0 and slim/a/seed1; run both again with the same "
        "configuration, or move unwanted runs out of results/paper/runs"
    )


def test_datasets_with_different_protocols_have_separate_tests(tmp_path):
    """Numbers of the dataset may differ, but a different number of generated images is an error without a report."""
    sets = {"a": (100, 5000), "b": (160, 5000), "c": (100, 500), "d": (100, 500), "e": (100, 50)}
    for dataset, (reals, fake) in sets.items():
        for name in ("slim", "sle"):
            protocol = f"fid_authors/x/px{reals}/real{reals}-all/fake{fake}"
            scored(tmp_path / "paper", name, dataset, 0, protocol=protocol)
    scores = collected(tmp_path / "paper")
    found = compare_experiments(scores, claim_settings())
    assert [result.dataset for result in found if result.unit == "seed"] == list(sets)
    assert [(r.dataset, r.protocol, r.paired.n) for r in found if r.unit == "dataset"] == [
        ("2 of 5 datasets", f"fid_authors/x/px*/real*-all/fake{fake}", 2) for fake in (5000, 500)
    ]
    summary = summary_table(found, scores, claim_settings())
    assert [row[0].text for row in summary.rows] == ["2 of 5 datasets"] * 2 + list(sets)
    protocols = {row[3].protocol for row in paired_table(found, scores, claim_settings()).rows}
    assert protocols == {result.protocol for result in found}


def test_scales_of_ms_ssim_are_not_a_dataset_part_of_the_protocol(tmp_path):
    for dataset, scales in (("a", 4), ("b", 5)):
        for name in ("slim", "sle"):
            scored(tmp_path / "paper", name, dataset, 0, protocol=f"ms_ssim/scales{scales}/px100x{scales}0")
    assert {result.unit for result in compare_experiments(collected(tmp_path / "paper"), claim_settings())} == {"seed"}


@pytest.mark.parametrize(("name", "seed"), [("slim", 1), ("sle", 0)])
def test_versions_of_the_data_are_not_paired(tmp_path, name, seed):
    for dataset in ("a", "b", "c"):
        for method in ("slim", "sle"):
            for number in range(3):
                scored(tmp_path / "paper", method, dataset, number)
    # other data also have other image counts, so the error names the data as the cause
    scored(tmp_path / "paper", name, "b", seed, data_sha256="9" * 64, protocol="fid_authors/real101")
    scores = collected(tmp_path / "paper")
    found = compare_experiments(scores, claim_settings())
    own, other = [r for r in found if r.dataset == "b"], [r for r in found if r.dataset == "a"]
    hashes = ", ".join(sorted((sha256_json("b")[:8], "99999999")))
    assert [r.significance(0.05) for r in own] == [f"not comparable: data differ ({hashes})"]
    assert (own[0].slim_mean, own[0].paired.n, own[0].p_holm) == (None, 0, None)
    assert other[0].paired.n == 3
    assert [(r.dataset, r.paired.n) for r in found if r.unit == "dataset"] == [("2 of 3 datasets", 2)]
    lines = [row for row in summary_table(found, scores, claim_settings()).rows if row[0].text == "b"]
    assert [entry.text for entry in lines[0][2:]] == ["n/a", "n/a", "–", f"not comparable: data differ ({hashes})"]
    shown = descriptive_table(claim_settings().claims[0], scores, claim_settings())
    assert [row[4].text for row in shown.rows] == ["equal", f"data differ ({hashes})", "equal"]
    assert len(paired_table(found, scores, claim_settings()).rows) == 4
