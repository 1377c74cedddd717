"""The results table of README.md equals the reference results of the demo."""

from bench.report.compare.reference import read_reference_file
from benchmarks.results_table import README, REFERENCE, results_table, updated
from tests.helpers import ROOT


def test_the_table_of_the_readme_is_that_of_the_reference_results():
    text = (ROOT / README).read_text(encoding="utf-8")
    table = results_table(read_reference_file(ROOT / REFERENCE))
    assert table in text and updated(text, table) == text


def test_a_changed_reference_changes_the_table():
    reference = read_reference_file(ROOT / REFERENCE)
    score = next(s for s in reference.scores if s.metric == "fid_cleanfid" and s.weights == "last")
    changed = tuple(s.model_copy(update={"mean": s.mean + 10}) if s is score else s for s in reference.scores)
    assert results_table(reference.model_copy(update={"scores": changed})) != results_table(reference)
