"""The card of a claim: verdict, the two numbers that decide it, interval, n and power."""

from bench.report.claim_cards import claim_card
from bench.report.compare.claims import decide_claims
from bench.report.read.scores import Scores
from tests.helpers.report_fixture import claim_results, claim_settings


def card_of(root, slim, baseline, scale="paper", **results):
    scores = claim_results(root, slim, baseline, scale, **results)
    settings = claim_settings()
    (decision,) = decide_claims(scores, settings, scale)
    return claim_card(decision, scores, settings, ["5 runs"])


def test_a_card_shows_the_comparison_that_decides(tmp_path):
    card = card_of(tmp_path, (80.0, 81.0, 79.0, 82.0), (100.0, 101.0, 99.5, 100.0))
    assert (card.verdict, card.kind, card.where) == ("supported", "supported", "4 of 4 datasets")
    assert card.slim.name == "slim" and card.slim.value.startswith("80.") and card.baseline.value.startswith("100.")
    assert card.outcome == "better by 19.6 %" and card.costs == ["5 runs"]
    terms = dict(card.terms)
    assert terms["n"] == "4 datasets" and " … " in terms["95 % CI"] and "probability 0.8" in terms["power"]


def test_a_card_of_a_scale_without_verdicts_shows_its_scores(tmp_path):
    card = card_of(tmp_path, 90.0, 100.0, "demo", seeds=2)
    assert card.verdict == "not tested at this scale" and card.where == "a"
    assert card.outcome.startswith("better by 10.0 %")
    assert dict(card.terms) == {"n": "2 seeds", "95 % CI": "needs 3 seeds", "power": "needs 3 seeds"}


def test_a_card_without_scores_has_no_numbers():
    settings = claim_settings()
    (decision,) = decide_claims(Scores([]), settings, "demo")
    card = claim_card(decision, Scores([]), settings, [])
    assert card.slim is None and card.terms == ()
