"""Only values that are significantly the best of their column are bold."""

import pytest

from bench.claims import load_settings
from bench.report.compare.paired import compare_experiments, compared_partners
from bench.report.tables.comparison import comparison_tables
from bench.report.tables.significance import summary_table
from bench.report.tables.table import latex, markdown
from tests.helpers.report_fixture import EMOJI, collected, run_description, write_run, write_runs, write_score

SLIM, SLE, RESIDUAL = "fastgan-slim-4to64", "fastgan-sle", "fastgan-sle-residual"


@pytest.fixture(scope="module")
def settings():
    return load_settings()


def bold_rows(scale_dir, settings):
    scores = collected(scale_dir)
    tested = compared_partners(compare_experiments(scores, settings), settings.alpha)
    table = comparison_tables(scores, EMOJI, settings.tasks["fewshot"], tested)[0]
    return [row[0].text for row in table.rows if any(cell.bold for cell in row)], table


@pytest.mark.parametrize(
    ("slim", "sle", "bold"),
    [
        ((10.0, 10.1, 10.2, 10.1), (20.0, 20.2, 20.1, 20.3), [SLIM]),
        ((20.0, 20.2, 20.1, 20.3), (10.0, 10.1, 10.2, 10.1), [SLE]),
        ((10.0, 20.0, 30.0, 15.0), (20.1, 10.2, 31.0, 15.0), []),
        ((10.0, 10.1), (20.0, 20.2), []),
        ((10.0, 10.0, 10.0), (10.0, 10.0, 10.0), []),
    ],
)
def test_the_best_value_is_bold_if_the_difference_is_significant(tmp_path, settings, slim, sle, bold):
    write_runs(tmp_path / "demo", "fewshot", {(SLIM, EMOJI): slim, (SLE, EMOJI): sle}, "fd_efflite0")
    names, table = bold_rows(tmp_path / "demo", settings)
    assert names == bold
    assert (
        (r"\textbf{" in latex(table, "tab:t")) == ("**" in markdown(table)) == ("bold" in table.caption) == bool(bold)
    )


def test_the_best_value_is_not_bold_if_the_next_network_was_not_compared(tmp_path, settings):
    values = {(SLIM, EMOJI): (10.0, 10.1, 10.2), (SLE, EMOJI): (20.0, 20.2, 20.1)}
    write_runs(tmp_path / "demo", "fewshot", values | {("other", EMOJI): (10.1, 10.2, 10.3)}, "fd_efflite0")
    assert bold_rows(tmp_path / "demo", settings)[0] == []


def test_a_better_control_leaves_no_bold_value(tmp_path, settings):
    values = {(SLIM, EMOJI): (10.0, 10.1, 10.2), (SLE, EMOJI): (20.0, 20.2, 20.1)}
    write_runs(tmp_path / "demo", "fewshot", values, "fd_efflite0")
    folder = write_run(tmp_path / "demo", run_description("demo", "fewshot", SLIM, EMOJI, 0, ["fd_efflite0"]))
    write_score(folder, "fd_efflite0", 1.0, "control-halves")
    assert bold_rows(tmp_path / "demo", settings)[0] == []


def test_holms_correction_is_applied(tmp_path, settings):
    """The difference has p = 0.03, so one test is significant, and two equal ones are not."""
    values = {(SLIM, EMOJI): (19.0, 18.0, 19.5, 18.8), (SLE, EMOJI): (20.0, 20.0, 20.0, 20.0)}
    write_runs(tmp_path / "demo", "fewshot", values, "fd_efflite0")
    assert bold_rows(tmp_path / "demo", settings)[0] == [SLIM]
    more = {(name, "other-data"): seeds for (name, _), seeds in values.items()}
    write_runs(tmp_path / "demo", "fewshot", more, "fd_efflite0")
    assert bold_rows(tmp_path / "demo", settings)[0] == []


def test_the_summary_has_interval_n_and_bold(tmp_path, settings):
    values = {(SLIM, EMOJI): (10.0, 10.1, 10.2), (SLE, EMOJI): (20.0, 20.2, 20.1)}
    write_runs(tmp_path / "demo", "fewshot", values, "fd_efflite0")
    scores = collected(tmp_path / "demo")
    table = summary_table(compare_experiments(scores, settings), scores, settings)
    row = next(row for row in table.rows if row[0].text == EMOJI)
    assert (row[2].bold, row[3].bold) == (True, False)
    assert row[4].note.startswith("95 % CI ") and "n = 3 seeds" in table.caption
