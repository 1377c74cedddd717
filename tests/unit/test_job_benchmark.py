"""Values of Snakemake's benchmark files: one per attempt, none for a missing or damaged file."""

import pytest

from bench.job_benchmark import benchmark_values


def test_each_attempt_has_a_value(tmp_path):
    (tmp_path / "a.tsv").write_text("s\tmax_rss\n1.5\t200\n2.5\t-\n")
    assert benchmark_values(tmp_path / "a.tsv", "s") == [1.5, 2.5]
    assert benchmark_values(tmp_path / "a.tsv", "max_rss") == []


@pytest.mark.parametrize("text", ["", "s\n", "x\n1\n", "s\nabc\n", "s\tt\n\0\n"])
def test_a_damaged_file_has_no_values(tmp_path, text):
    (tmp_path / "a.tsv").write_text(text)
    assert benchmark_values(tmp_path / "a.tsv", "s") == []
    assert benchmark_values(tmp_path / "missing.tsv", "s") == []
