"""The report of the paper suite's full size, from generated rows that are never results."""

import time

import pytest

from bench.report.page import render
from tests.helpers.large_report import make_large_results

CPU_SECONDS = 60
LARGEST = 8_000_000


@pytest.mark.slow
def test_a_report_of_495_runs_is_small_and_fast(tmp_path):
    scale_dir = tmp_path / "results" / "paper"
    runs = make_large_results(scale_dir)
    begin = time.process_time()
    render(scale_dir)
    assert time.process_time() - begin < CPU_SECONDS
    assert len(runs) == 495 and (scale_dir / "report/index.html").stat().st_size < LARGEST
    assert len(list((scale_dir / "report/runs").glob("*/*/*.html"))) == 495
