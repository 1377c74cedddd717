import json
import re
from pathlib import Path

import pytest
import yaml

from bench.claims import load_settings
from bench.errors import InputError
from bench.metrics.protocol import ProtocolError
from bench.report.compare.claims import Decision, decide_claims, insignificant_by_design
from bench.report.compare.paired import compare_experiments
from bench.report.read.published import Published, load_published
from bench.report.tables.published import published_table
from bench.report.tables.significance import claim_table, paired_table
from tests.helpers.report_fixture import (
    SETS,
    claim_results,
    claim_settings,
    collected,
    run_description,
    write_run,
    write_score,
)


def verdict(scores, settings, scale="paper"):
    (decision,) = decide_claims(scores, settings, scale)
    return decision.verdict, decision.reason


def test_a_claim_is_supported_if_slim_is_better_on_the_datasets(tmp_path):
    scores = claim_results(tmp_path, (40.0, 41.0, 38.0, 42.0), 50.0)
    assert verdict(scores, claim_settings())[0] == "supported"


def test_a_claim_is_contradicted_if_slim_is_worse(tmp_path):
    scores = claim_results(tmp_path, (60.0, 61.0, 58.0, 62.0), 50.0)
    assert verdict(scores, claim_settings())[0] == "contradicted"


def test_a_claim_is_inconclusive_if_datasets_disagree(tmp_path):
    scores = claim_results(tmp_path, (40.0, 60.0, 45.0, 56.0), 50.0)
    assert verdict(scores, claim_settings()) == ("inconclusive", "the difference is not significant")


def test_an_improvement_below_the_margin_does_not_support(tmp_path):
    scores = claim_results(tmp_path, (49.0, 49.1, 48.9, 49.0), 50.0)
    assert verdict(scores, claim_settings(margin=0.1))[0] == "contradicted"


def test_too_few_seeds_are_inconclusive(tmp_path):
    scores = claim_results(tmp_path, 40.0, 50.0, seeds=4)
    assert verdict(scores, claim_settings()) == ("inconclusive", "4 of 5 seeds finished")


def test_an_unfinished_dataset_is_inconclusive(tmp_path):
    scores = claim_results(tmp_path, 40.0, 50.0, sets=SETS[:3])
    assert verdict(scores, claim_settings()) == ("inconclusive", "3 of 4 datasets finished")


@pytest.mark.parametrize("scale", ["tiny", "demo", "small"])
def test_other_scales_give_no_verdict(tmp_path, scale):
    scores = claim_results(tmp_path, 40.0, 50.0, scale=scale)
    assert verdict(scores, claim_settings(), scale)[0] == "not tested at this scale"


def test_the_seed_is_the_unit_for_few_datasets(tmp_path):
    scores = claim_results(tmp_path, 40.0, 50.0, sets=("a",))
    (decision,) = decide_claims(scores, claim_settings(sets=("a",)), "paper")
    assert decision.findings[0].unit == "seed" and decision.findings[0].paired.n == 5
    assert decision.verdict == "supported"


def test_scores_of_another_protocol_are_not_compared(tmp_path):
    scale_dir = tmp_path / "paper"
    for name in ("slim", "sle"):
        for seed in range(5):
            run = run_description("paper", "fewshot", name, "a", seed, ["fid_authors"])
            write_score(write_run(scale_dir, run), "fid_authors", 40.0 + seed, protocol="other/protocol")
    reason = "not comparable: a: protocol is other/protocol"
    assert verdict(collected(scale_dir), claim_settings(sets=("a",))) == ("inconclusive", reason)


def test_datasets_with_different_protocols_are_not_combined_in_a_claim(tmp_path):
    scale_dir = tmp_path / "paper"
    for dataset, fake in (("a", 5000), ("b", 5000), ("c", 500)):
        for name in ("slim", "sle"):
            run = run_description("paper", "fewshot", name, dataset, 0, ["fid_authors"])
            protocol = f"fid_authors/x/px{fake}/fake{fake}"
            write_score(write_run(scale_dir, run), "fid_authors", 40.0, protocol=protocol)
    words = (
        r"^claim on fid_authors: slim against sle: .*'fid_authors/x/px\*/fake5000' and 'fid_authors/x/px\*/fake500'; "
        r"narrow the comparison's `protocol` in config/claims.yaml$"
    )
    with pytest.raises(ProtocolError, match=words):
        decide_claims(collected(scale_dir), claim_settings(sets=("a", "b", "c")), "paper")


def test_scores_of_another_data_version_are_not_compared(tmp_path):
    scores = claim_results(tmp_path, (40.0, 41.0, 38.0, 42.0), 50.0)
    folder = tmp_path / "paper/runs/slim/b/seed3"
    write_score(folder, "fid_authors", 41.0, data_sha256="9" * 64)
    (decision,) = decide_claims(collected(tmp_path / "paper"), claim_settings(), "paper")
    hashes = ", ".join(sorted({row.data_sha256[:8] for row in scores.where(dataset="b")} | {"99999999"}))
    assert (decision.verdict, decision.reason) == ("inconclusive", f"not comparable: b: data differ ({hashes})")
    assert decision.findings[0].datasets_found == 3


def with_comparisons(*changes):
    """Return settings of one claim with variants of its only comparison."""
    plain = claim_settings()
    (claim,) = plain.claims
    comparisons = tuple(claim.comparisons[0].model_copy(update=change) for change in changes)
    return plain.model_copy(update={"claims": (claim.model_copy(update={"comparisons": comparisons}),)})


def test_tests_not_made_yet_count_in_the_correction(tmp_path):
    """Otherwise an early verdict would be corrected for fewer tests than were declared."""
    scores = claim_results(tmp_path, (46.0, 48.5, 45.0, 48.2), 50.0)
    absent = {"sets": ("e", "f", "g")}
    (alone,) = decide_claims(scores, with_comparisons({}), "paper")
    (early,) = decide_claims(scores, with_comparisons({}, absent, absent), "paper")
    p = alone.findings[0].paired.p
    assert (alone.findings[0].p_holm, early.findings[0].p_holm) == (pytest.approx(p), pytest.approx(3 * p))
    assert 0.05 / 3 < p < 0.05
    assert [decision.findings[0].verdict for decision in (alone, early)] == ["supported", "inconclusive"]


def test_controls_and_constants_are_excluded_from_the_correction(tmp_path):
    scores = claim_results(tmp_path, (46.0, 48.5, 45.0, 48.2), 50.0)
    (decision,) = decide_claims(scores, with_comparisons({}, {"role": "control"}, {"measure": "constant"}), "paper")
    assert decision.findings[0].p_holm == pytest.approx(decision.findings[0].paired.p)


def outcomes(decision: Decision):
    """Return corrected p, outcome and note of each row."""
    table = claim_table(decision)
    p, outcome = ([head.label for head in table.head].index(name) for name in ("p (Holm)", "outcome"))
    return [(row[p].text, row[outcome].text, row[outcome].note) for row in table.rows]


def test_a_control_shows_its_uncorrected_p_and_outcome(tmp_path):
    scores = claim_results(tmp_path, (46.0, 48.5, 45.0, 48.2), 50.0)
    settings = with_comparisons({}, {"role": "control"}, {"sets": ("e", "f", "g")})
    (decision,) = decide_claims(scores, settings, "paper")
    p = decision.findings[1].paired.p
    assert outcomes(decision) == [
        (f"{2 * p:.3f}", "inconclusive", "the difference is not significant"),
        ("", "supported", f"control: p = {p:.3f}, not corrected"),
        ("", "inconclusive", "0 of 3 datasets finished"),
    ]
    assert (decision.verdict, "0 of 3" in decision.reason) == ("inconclusive", True)


def test_a_control_that_shares_the_gain_has_a_note(tmp_path):
    scores = claim_results(tmp_path, (49.0, 51.0, 50.5, 49.5), 50.0)
    (decision,) = decide_claims(scores, with_comparisons({}, {"role": "control"}), "paper")
    p = decision.findings[1].paired.p
    reason = f"control: p = {p:.3f}, not corrected; the difference is not significant"
    assert outcomes(decision)[1] == ("", "inconclusive", reason)


def test_no_outcome_is_given_at_other_scales(tmp_path):
    scores = claim_results(tmp_path, (40.0, 41.0, 38.0, 42.0), 50.0, scale="small")
    (decision,) = decide_claims(scores, with_comparisons({}, {"role": "control"}), "small")
    assert {row[1] for row in outcomes(decision)} == {""}
    assert "outcome" not in [head.label for head in claim_table(decision).without_empty_columns().head]


def published(value, protocol):
    where = {"method": "FastGAN", "experiment": "sle", "dataset": "a", "metric": "fid_authors"}
    return [Published(**where, value=value, unit="", protocol=protocol, source="made up")]


@pytest.mark.parametrize(
    ("value", "protocol", "scale", "expected"),
    [
        (49.0, "fid_authors*", "paper", "reproduced (interval inside the tolerance)"),
        (45.4, "fid_authors*", "paper", "inconclusive (interval overlaps the tolerance)"),
        (70.0, "fid_authors*", "paper", "not reproduced (interval outside the tolerance)"),
        (49.0, "fid_cleanfid*", "paper", "not comparable (protocol differs)"),
        (49.0, "fid_authors*", "demo", "not comparable (not the paper scale)"),
    ],
)
def test_published_values_are_shown_next_to_scores(tmp_path, value, protocol, scale, expected):
    scores = claim_results(tmp_path, 40.0, 50.0, scale=scale)
    chosen = claim_settings().model_copy(update={"tolerances": load_settings().tolerances})
    table = published_table(scores, published(value, protocol), chosen, scale)
    assert table.rows[0][7].text == expected


def test_one_seed_is_not_compared_with_a_published_value(tmp_path):
    scores = claim_results(tmp_path, 40.0, 50.0).where(lambda row: row.seed == 0)
    chosen = claim_settings().model_copy(update={"tolerances": load_settings().tolerances})
    row = published_table(scores, published(49.0, "fid_authors*"), chosen, "paper").rows[0]
    assert [row[4].text, row[7].text] == ["50.00, n = 1", "too few seeds (1 of 5)"]


def test_the_best_checkpoint_is_compared_with_a_published_value(tmp_path):
    """The checkpoint selection is part of its protocol id, which the published value need not have."""
    scores = claim_results(tmp_path, 40.0, 50.0, sets=("a",))
    for seed in range(5):
        folder = tmp_path / "paper/runs/sle/a" / f"seed{seed}"
        write_score(folder, "fid_authors", 45.0, "best", protocol="fid_authors/made-up/best-of-7-by-fid_authors")
    scores = collected(tmp_path / "paper")
    row = published_table(scores, published(49.0, "fid_authors/made-up"), claim_settings(), "paper").rows[0]
    assert [row[4].text, row[5].text] == ["50.04 ± 0.34, n = 5", "45.00"]


def test_names_in_the_shipped_claims_exist():
    shipped = load_settings()
    experiments = set(yaml.safe_load(Path("config/experiments.yaml").read_text()))
    datasets = set(yaml.safe_load(Path("config/datasets.yaml").read_text())["datasets"])
    assert [claim.id for claim in shipped.claims] == ["few-shot", "one-shot", "classification", "lightweight"]
    for claim in shipped.claims:
        for comparison in claim.comparisons:
            assert {comparison.slim, comparison.baseline} <= experiments
            assert set(comparison.sets) <= datasets, set(comparison.sets) - datasets
    for task in shipped.tasks.values():
        names = (
            {n for pair in task.pairs for n in (pair.slim, pair.baseline)}
            | set(task.controls)
            | set(task.ablation_bases)
        )
        assert names <= experiments
    assert {value.experiment for value in load_published() if value.experiment} <= experiments


def test_published_values_of_torchvision_are_those_of_the_package():
    from torchvision.models import ResNeXt50_32X4D_Weights

    theirs = ResNeXt50_32X4D_Weights.IMAGENET1K_V1.meta["_metrics"]["ImageNet-1K"]
    ours = {value.metric: value.value for value in load_published() if value.source.startswith("torchvision")}
    assert ours == {"top1": theirs["acc@1"], "top5": theirs["acc@5"]}


def test_no_published_value_of_slim_is_claimed():
    assert not [value for value in load_published() if "slim" in value.method.lower()]


def test_a_mistyped_key_is_named_with_the_nearest(tmp_path):
    path = tmp_path / "claims.yaml"
    text = Path("config/claims.yaml").read_text()
    path.write_text(text.replace("alpha: 0.05", "alfa: 0.05"))
    with pytest.raises(InputError, match=r"claims.yaml: alfa: .*did you mean 'alpha'"):
        load_settings(path)


@pytest.mark.parametrize(
    ("sets", "words"),
    [
        (
            "[shells, skulls]",
            "2 datasets: list one (for a test over its seeds) or at least three (for a test over datasets)",
        ),
        ("[]", "0 datasets: list one (for a test over its seeds) or at least three (for a test over datasets)"),
        ("[shells, skulls, shells]", "shells occurs twice"),
    ],
)
def test_a_claim_over_two_datasets_is_refused_in_one_line(tmp_path, sets, words):
    """Neither the two datasets nor the seeds of both would be a sample of independent units."""
    path = tmp_path / "claims.yaml"
    text = Path("config/claims.yaml").read_text()
    path.write_text(re.sub(r"sets: &sets_256 \[.*\]", f"sets: &sets_256 {sets}", text))
    with pytest.raises(InputError) as raised:
        load_settings(path)
    assert str(raised.value) == f"{path}: claims.0.comparisons.0.sets: {words}"


def test_a_claim_without_a_deciding_comparison_is_refused(tmp_path):
    path = tmp_path / "claims.yaml"
    path.write_text(
        Path("config/claims.yaml").read_text().replace("margin: 0.0\n", "margin: 0.0\n        role: control\n")
    )
    text = path.read_text().replace("role: control\n        role: control", "role: control")
    path.write_text(text)
    with pytest.raises(InputError, match=r"claims.yaml: claims.0: no comparison has role verdict"):
        load_settings(path)


def test_minimum_seeds_below_five_is_refused(tmp_path):
    path = tmp_path / "claims.yaml"
    path.write_text(Path("config/claims.yaml").read_text().replace("minimum_seeds: 5", "minimum_seeds: 3"))
    with pytest.raises(InputError, match=r"claims.yaml: minimum_seeds: .*greater than or equal to 5"):
        load_settings(path)


def test_an_invalid_published_value_names_its_line(tmp_path):
    path = tmp_path / "published.csv"
    lines = Path("config/published.csv").read_text().splitlines()
    path.write_text("\n".join([*lines[:2], lines[2].replace("35.1", "about 35")]))
    with pytest.raises(InputError, match=r"published.csv, line 3"):
        load_published(path)


def test_a_baseline_score_of_zero_is_handled_in_claims_and_tables(tmp_path):
    scores = claim_results(tmp_path, 40.0, 0.0, seeds=1)
    found = [result for result in compare_experiments(scores, claim_settings()) if result.unit == "dataset"]
    assert {result.share for result in found} == {False}
    (decision,) = decide_claims(scores, claim_settings(minimum_seeds=5), "paper")
    assert decision.verdict == "inconclusive"
    assert paired_table(compare_experiments(scores, claim_settings()), scores, claim_settings()).rows


def test_a_claims_file_of_an_earlier_version_may_use_the_key_rivals(tmp_path):
    earlier = tmp_path / "claims.yaml"
    text = Path("config/claims.yaml").read_text()
    earlier.write_text(text.replace("baseline: ", "rival: "))
    assert "rival: singan" in earlier.read_text() and load_settings(earlier) == load_settings()


def test_the_exact_test_is_shown_and_does_not_decide(tmp_path):
    """Four datasets: the t test is significant, and the exact p cannot be below 0.125."""
    scores = claim_results(tmp_path, (40.0, 41.0, 38.0, 42.0), 50.0)
    (decision,) = decide_claims(scores, claim_settings(), "paper")
    (finding,) = decision.findings
    assert decision.verdict == "supported" and finding.p_exact == pytest.approx(0.125)
    table = claim_table(decision)
    line = dict(zip([head.label for head in table.head], table.rows[0], strict=True))
    assert line["p (exact)"].text == "0.125"
    assert line["detectable improvement"].text.endswith(" %") and finding.power.more == 0


def test_datasets_that_disagree_show_how_many_more_are_needed(tmp_path):
    scores = claim_results(tmp_path, (40.0, 60.0, 45.0, 46.0), 50.0)
    (decision,) = decide_claims(scores, claim_settings(), "paper")
    more = decision.findings[0].power.more
    assert more > 0
    assert f"{more} more datasets for the observed improvement" in claim_table(decision).rows[0][8].text


def test_two_datasets_have_no_power(tmp_path):
    scores = claim_results(tmp_path, 40.0, 50.0, sets=SETS[:2])
    (decision,) = decide_claims(scores, claim_settings(), "paper")
    assert claim_table(decision).rows[0][8].text == "not computable"


def test_the_plan_names_tests_that_cannot_be_significant():
    shipped = load_settings()
    found = insignificant_by_design(shipped, seeds=5)
    assert [sentence.split(":")[0].split(",")[0] for sentence in found] == ["claim few-shot", "claim classification"]
    assert "with 5 datasets" in found[0] and "with 5 seeds" in found[1]
    assert len(insignificant_by_design(shipped, seeds=12)) == 1


def trained_with(scores_dir, experiment, torch="0.0", **training):
    """Change the training conditions of all runs of an experiment."""
    for path in scores_dir.rglob(f"runs/{experiment}/*/seed*/model.json"):
        model = json.loads(path.read_text())
        model["versions"]["torch"] = torch
        model["training"] |= training
        path.write_text(json.dumps(model))
    return collected(scores_dir)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"precision": "bf16"}, "precision differs (bf16, unknown)"),
        ({"device": "NVIDIA H100"}, "device differs (NVIDIA H100, cpu)"),
        ({"compile": True}, "compile differs (true, unknown)"),
        ({"torch": "2.9.1"}, "torch differs (2.9, 0.0)"),
    ],
)
def test_a_pair_trained_under_different_conditions_is_refused_at_the_verdict_scale(tmp_path, change, text):
    claim_results(tmp_path, (40.0, 41.0, 38.0, 42.0), 50.0)
    scores = trained_with(tmp_path / "paper", "slim", **change)
    (decision,) = decide_claims(scores, claim_settings(), "paper")
    assert decision.verdict == "inconclusive" and f"a: {text}" in decision.reason
    allowed = claim_settings().model_copy(update={"may_differ": tuple(change)})
    (decision,) = decide_claims(scores, allowed, "paper")
    assert decision.verdict == "supported"


def test_the_table_names_different_conditions_at_other_scales(tmp_path):
    claim_results(tmp_path, 40.0, 50.0, scale="demo")
    scores = trained_with(tmp_path / "demo", "slim", precision="bf16")
    settings = claim_settings()
    found = compare_experiments(scores, settings)
    assert found and all(not r.conflict and r.differs == ("precision differs (bf16, unknown)",) for r in found)
    assert all(row[-1].note == found[0].differs[0] for row in paired_table(found, scores, settings).rows)


def test_a_patch_release_of_torch_is_the_same_version(tmp_path):
    claim_results(tmp_path, 40.0, 50.0)
    scores = trained_with(tmp_path / "paper", "slim", torch="0.0.1+cu130")
    assert decide_claims(scores, claim_settings(), "paper")[0].verdict == "supported"
