from pathlib import Path

import pytest
import yaml
from report_fixture import collected, described, write_run, write_runs, write_score

from bench.errors import InputError
from bench.metrics.protocol import ProtocolError
from bench.report.claims import answer_claims
from bench.report.evidence import paired_table
from bench.report.listings import published_table
from bench.report.paired import compare
from bench.report.settings import (
    Claim,
    Comparison,
    Pair,
    Published,
    Settings,
    TaskSettings,
    load_published,
    load_settings,
)

SETS = ("a", "b", "c", "d")
SPREAD = (0.0, 0.4, -0.3, 0.2, -0.1)


def settings(sets=SETS, measure="relative", margin=0.0, minimum_seeds=5):
    comparison = Comparison(
        metric="fid_authors", protocol="fid_authors*", slim="slim", rival="sle", sets=sets, measure=measure,
        direction="lower", margin=margin,
    )  # fmt: skip
    claim = Claim(
        id="c", title="t", statement="s", comparisons=(comparison,), tasks=("fewshot",), shown=("fid_authors",)
    )
    task = TaskSettings(title="t", pairs=(Pair(slim="slim", rival="sle"),), primary=("fid_authors",))
    return Settings(
        verdict_scale="paper", minimum_seeds=minimum_seeds, alpha=0.05, tasks={"fewshot": task}, claims=(claim,),
        tolerances={},
    )  # fmt: skip


def results(tmp_path, slim, rival, scale="paper", seeds=5, sets=SETS):
    """Scores of every set around `slim` and `rival`, which are per set or one number for all."""
    scale_dir = tmp_path / scale
    for name, level in (("slim", slim), ("sle", rival)):
        levels = level if isinstance(level, tuple) else (level,) * len(sets)
        values = {(name, s): [v + e for e in SPREAD[:seeds]] for s, v in zip(sets, levels, strict=True)}
        write_runs(scale_dir, "fewshot", values, "fid_authors")
    return collected(scale_dir)


def verdict(scores, settings, scale="paper"):
    (answer,) = answer_claims(scores, settings, scale)
    return answer.verdict, answer.reason


def test_supported_where_slim_is_better_on_the_sets(tmp_path):
    scores = results(tmp_path, (40.0, 41.0, 38.0, 42.0), 50.0)
    assert verdict(scores, settings())[0] == "supported"


def test_contradicted_where_it_is_worse(tmp_path):
    scores = results(tmp_path, (60.0, 61.0, 58.0, 62.0), 50.0)
    assert verdict(scores, settings())[0] == "contradicted"


def test_no_evidence_where_sets_disagree(tmp_path):
    scores = results(tmp_path, (40.0, 60.0, 45.0, 56.0), 50.0)
    assert verdict(scores, settings()) == ("no evidence", "the difference is within what seeds and sets vary by")


def test_an_improvement_below_the_margin_does_not_support(tmp_path):
    scores = results(tmp_path, (49.0, 49.1, 48.9, 49.0), 50.0)
    assert verdict(scores, settings(margin=0.1))[0] == "contradicted"


def test_too_few_seeds_are_no_evidence(tmp_path):
    scores = results(tmp_path, 40.0, 50.0, seeds=4)
    assert verdict(scores, settings()) == ("no evidence", "4 of 5 seeds finished")


def test_an_unfinished_set_is_no_evidence(tmp_path):
    scores = results(tmp_path, 40.0, 50.0, sets=SETS[:3])
    assert verdict(scores, settings()) == ("no evidence", "3 of 4 sets finished")


@pytest.mark.parametrize("scale", ["tiny", "demo", "small"])
def test_other_scales_give_no_verdict(tmp_path, scale):
    scores = results(tmp_path, 40.0, 50.0, scale=scale)
    assert verdict(scores, settings(), scale)[0] == "not tested at this scale"


def test_few_sets_take_the_seed_as_unit(tmp_path):
    scores = results(tmp_path, 40.0, 50.0, sets=("a",))
    (answer,) = answer_claims(scores, settings(sets=("a",)), "paper")
    assert answer.findings[0].unit == "seed" and answer.findings[0].paired.n == 5
    assert answer.verdict == "supported"


def test_another_protocol_does_not_count(tmp_path):
    scale_dir = tmp_path / "paper"
    for name in ("slim", "sle"):
        for seed in range(5):
            run = described("paper", "fewshot", name, "a", seed, ["fid_authors"])
            write_score(write_run(scale_dir, run), "fid_authors", 40.0 + seed, protocol="other/protocol")
    assert verdict(collected(scale_dir), settings(sets=("a",))) == ("no evidence", "0 of 1 sets finished")


def test_two_protocols_never_meet_in_a_test(tmp_path):
    scale_dir = tmp_path / "paper"
    for name in ("slim", "sle"):
        run = described("paper", "fewshot", name, "a", 0, ["fid_authors"])
        write_score(write_run(scale_dir, run), "fid_authors", 40.0, protocol=f"fid_authors/{name}")
    scores = collected(scale_dir)
    with pytest.raises(ProtocolError, match="'fid_authors/slim' and 'fid_authors/sle'"):
        compare(scores, settings())
    with pytest.raises(ProtocolError, match="slim against sle on a"):
        answer_claims(scores, settings(sets=("a",)), "paper")


def test_data_sets_scored_differently_never_meet_in_a_test(tmp_path):
    """What a set brings with it may differ, the number of generated images may not."""
    scale_dir = tmp_path / "paper"
    for sets, fakes in (({"a": 100, "b": 160}, (5000, 5000)), ({"c": 100}, (500,))):
        for (dataset, reals), fake in zip(sets.items(), fakes, strict=True):
            for name in ("slim", "sle"):
                run = described("paper", "fewshot", name, dataset, 0, ["fid_authors"])
                protocol = f"fid_authors/x/px{reals}/real{reals}-all/fake{fake}"
                write_score(write_run(scale_dir, run), "fid_authors", 40.0, protocol=protocol)
    scores = collected(scale_dir)
    words = r"over data sets: .*'fid_authors/x/px\*/real\*-all/fake5000' and 'fid_authors/x/px\*/real\*-all/fake500'"
    with pytest.raises(ProtocolError, match=words):
        compare(scores, settings())
    with pytest.raises(ProtocolError, match="claim on fid_authors: slim against sle"):
        answer_claims(scores, settings(sets=("a", "b", "c")), "paper")
    found = compare(scores.where(dataset=("a", "b")), settings())
    assert found[-1].protocol == "fid_authors/x/px*/real*-all/fake5000"


def test_seeds_are_averaged_first_and_the_set_is_the_unit(tmp_path):
    found = compare(results(tmp_path, (40.0, 45.0, 30.0, 20.0), (50.0, 50.0, 40.0, 25.0)), settings())
    across = [result for result in found if result.unit == "data set"]
    assert len(across) == 1 and across[0].paired.n == 4
    assert across[0].paired.mean == pytest.approx((0.2 + 0.1 + 0.25 + 0.2) / 4, abs=2e-3)
    within = [result for result in found if result.unit == "seed"]
    assert len(within) == 4 and all(result.paired.n == 5 for result in within)
    assert all(result.p_holm >= result.paired.p for result in within)


def test_two_seeds_show_points_and_no_evidence(tmp_path):
    found = compare(results(tmp_path, 40.0, 50.0, seeds=2), settings())
    within = [result for result in found if result.unit == "seed"]
    assert {result.evidence(0.05) for result in within} == {"no evidence: 2 seeds"}
    assert all(r.paired.p is None and r.paired.low is None and r.paired.effect is None for r in within)


def published(value, protocol):
    where = {"method": "FastGAN", "experiment": "sle", "dataset": "a", "metric": "fid_authors"}
    return [Published(**where, value=value, unit="", protocol=protocol, source="made up")]


@pytest.mark.parametrize(
    ("value", "protocol", "scale", "expected"),
    [
        (49.0, "fid_authors*", "paper", "reproduced"),
        (70.0, "fid_authors*", "paper", "not reproduced"),
        (49.0, "fid_cleanfid*", "paper", "not comparable (protocol differs)"),
        (49.0, "fid_authors*", "demo", "not comparable (not the paper's training)"),
    ],
)
def test_published_beside_ours(tmp_path, value, protocol, scale, expected):
    scores = results(tmp_path, 40.0, 50.0, scale=scale)
    chosen = settings().model_copy(update={"tolerances": load_settings().tolerances})
    table = published_table(scores, published(value, protocol), chosen, scale)
    assert table.rows[0][7].text == expected


def test_the_shipped_claims_name_what_exists():
    shipped = load_settings()
    experiments = set(yaml.safe_load(Path("config/experiments.yaml").read_text()))
    datasets = set(yaml.safe_load(Path("config/datasets.yaml").read_text())["datasets"])
    assert [claim.id for claim in shipped.claims] == ["few-shot", "one-shot", "recognition", "lightweight"]
    for claim in shipped.claims:
        for comparison in claim.comparisons:
            assert {comparison.slim, comparison.rival} <= experiments
            assert set(comparison.sets) <= datasets, set(comparison.sets) - datasets
    for task in shipped.tasks.values():
        names = (
            {n for pair in task.pairs for n in (pair.slim, pair.rival)} | set(task.controls) | set(task.ablation_bases)
        )
        assert names <= experiments
    assert {value.experiment for value in load_published() if value.experiment} <= experiments


def test_published_values_of_torchvision_are_those_of_the_package():
    from torchvision.models import ResNeXt50_32X4D_Weights

    theirs = ResNeXt50_32X4D_Weights.IMAGENET1K_V1.meta["_metrics"]["ImageNet-1K"]
    ours = {value.metric: value.value for value in load_published() if value.source.startswith("torchvision")}
    assert ours == {"top1": theirs["acc@1"], "top5": theirs["acc@5"]}


def test_published_values_meet_the_protocols_they_were_measured_by():
    patterns = {(value.metric, value.dataset): value for value in load_published()}
    extractor, weights = "inception-ptfid/pil-bilinear256/pool2048", "fake-nearest512/ema0.999/bn-train-b16"
    authors = f"fid_authors/{extractor}/px256/real100-all/fake{{}}/{weights}"
    obama, imagenet = patterns["fid_authors", "100-shot-obama"], patterns["top1", "imagenet"]
    assert obama.comparable(authors.format(4992)) and not obama.comparable(authors.format(500))
    assert imagenet.comparable("top1/centre-crop0.875-bilinear224/last/test50000")
    assert not imagenet.comparable("top1/whole32/last/test50000")


def test_no_published_value_of_slim_is_claimed():
    assert not [value for value in load_published() if "slim" in value.method.lower()]


def test_a_mistyped_key_is_named_with_the_nearest(tmp_path):
    path = tmp_path / "claims.yaml"
    text = Path("config/claims.yaml").read_text()
    path.write_text(text.replace("alpha: 0.05", "alfa: 0.05"))
    with pytest.raises(InputError, match=r"claims.yaml: alfa: .*did you mean 'alpha'"):
        load_settings(path)


def test_fewer_than_five_seeds_cannot_be_asked_for(tmp_path):
    path = tmp_path / "claims.yaml"
    path.write_text(Path("config/claims.yaml").read_text().replace("minimum_seeds: 5", "minimum_seeds: 3"))
    with pytest.raises(InputError, match=r"claims.yaml: minimum_seeds: .*greater than or equal to 5"):
        load_settings(path)


def test_a_published_value_that_is_no_number_names_its_line(tmp_path):
    path = tmp_path / "published.csv"
    lines = Path("config/published.csv").read_text().splitlines()
    path.write_text("\n".join([*lines[:2], lines[2].replace("35.1", "about 35")]))
    with pytest.raises(InputError, match=r"published.csv, line 3"):
        load_published(path)


def test_a_rival_of_zero_breaks_neither_claims_nor_tables(tmp_path):
    scores = results(tmp_path, 40.0, 0.0, seeds=1)
    found = [result for result in compare(scores, settings()) if result.unit == "data set"]
    assert {result.share for result in found} == {False}
    (answer,) = answer_claims(scores, settings(minimum_seeds=5), "paper")
    assert answer.verdict == "no evidence"
    assert paired_table(compare(scores, settings()), settings()).rows
