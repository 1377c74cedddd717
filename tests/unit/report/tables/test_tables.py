import json

import pytest

from bench.claims import load_settings
from bench.files import write_json
from bench.metrics.catalogue import METRICS
from bench.metrics.protocol import ProtocolError
from bench.report.figures.classification import per_class_records, per_class_table
from bench.report.read.experiment_roles import experiments_of
from bench.report.read.names import METRIC_LABELS, format_count, format_value
from bench.report.read.row import TRAINING
from bench.report.tables.ablations import ablation_table, find_ablations
from bench.report.tables.comparison import comparison_records, comparison_tables
from bench.report.tables.runs import runs_table
from bench.report.tables.seed_averages import cell_of, columns_of
from bench.report.tables.table import Head, Table, TableCell, latex, markdown, score_cell, write_tables
from tests.helpers.report_fixture import (
    EMOJI,
    FASHION,
    FD,
    PHOTO,
    collected,
    make_results,
    run_description,
    write_run,
    write_score,
)


@pytest.fixture(scope="module")
def settings():
    return load_settings()


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    scale_dir = make_results(tmp_path_factory.mktemp("tables"))
    return collected(scale_dir)


def column(table, label):
    (index,) = [i for i, head in enumerate(table.head) if head.label.startswith(label)]
    return {row[0].text: row[index].text for row in table.rows}


def test_cells_show_mean_spread_and_n(scores, settings):
    table = comparison_tables(scores.where(task="fewshot"), EMOJI, settings.tasks["fewshot"])[0]
    assert column(table, "FD")["fastgan-slim-4to64"] == "291.6"
    assert table.rows[0][1].plain == "291.6 (290.0 and 293.3, n = 2 seeds)"  # two seeds have no spread and interval
    assert "n = 2 seeds." in table.caption and table.note_of(table.rows[0][1]) == "290.0 and 293.3"


def test_a_cell_states_n_where_it_differs_from_the_caption(tmp_path):
    row = (
        TableCell("1.0", count="3 seeds"),
        TableCell("2.0", "SD 1", count="2 seeds"),
        TableCell("3", count="3 seeds"),
    )
    table = Table("t", (Head("a"), Head("b"), Head("c")), (row,))
    assert table.caption == "n = 3 seeds, unless a cell states another number."
    for text in (markdown(table), latex(table, "tab:t")):
        assert "2.0 (SD 1, n = 2 seeds)" in text and text.count("3 seeds") == 1
    write_tables(tmp_path / "t", [table])
    assert (tmp_path / "t.csv").read_text() == 'a,b,c\n1.0 (n = 3 seeds),"2.0 (SD 1, n = 2 seeds)",3 (n = 3 seeds)\n'


def test_failed_and_missing_are_shown_as_text(scores, settings):
    few = comparison_tables(scores.where(task="fewshot"), EMOJI, settings.tasks["fewshot"])[0]
    assert column(few, "FD")["fastgan-sle-residual"] == "FAILED"
    one = comparison_tables(scores.where(task="oneshot"), PHOTO, settings.tasks["oneshot"])[0]
    assert column(one, "SSIM (samples")["singan-noresidual"] == "MISSING"
    classes = comparison_tables(scores.where(task="classification"), FASHION, settings.tasks["classification"])[0]
    assert set(column(classes, "Top-5").values()) == {"MISSING", "–"}


def test_slim_comes_first_and_ablations_are_excluded(scores, settings):
    table = comparison_tables(scores.where(task="fewshot"), EMOJI, settings.tasks["fewshot"])[0]
    names = [row[0].text for row in table.rows]
    assert names[0] == "fastgan-slim-4to64" and table.row_classes[0] == "slim"
    assert not any("-g" in name for name in names)


def test_controls_are_shown_only_under_the_same_protocol(scores, settings):
    tables = comparison_tables(scores.where(task="fewshot"), EMOJI, settings.tasks["fewshot"])
    assert "white images" not in column(tables[0], "FD")
    assert column(tables[0], "FD")["fastgan-sle, untrained"].startswith("390.5")
    own = tables[-1]
    assert [[entry.text for entry in row] for row in own.rows] == [
        ["white images", "FD (EfficientNet-Lite0, n=500)", "281.0"]
    ]
    assert own.rows[0][1].protocol == "fd_efflite0/efflite0-v1/px64/white500"
    one = comparison_tables(scores.where(task="oneshot"), PHOTO, settings.tasks["oneshot"])[0]
    assert column(one, "SSIM (reconstruction")["bicubic upsampling"] == "0.610"


def test_the_best_snapshot_has_a_separate_table(scores, settings):
    tables = comparison_tables(scores.where(task="fewshot"), EMOJI, settings.tasks["fewshot"])
    assert [head.note for head in tables[1].head] == ["", f"{FD}/best-of-7"]
    assert column(tables[1], "FD")["fastgan-sle"] == "298.0"


def test_two_protocols_in_one_cell_are_refused_with_both_named(scores):
    rows = [row for row in scores if row.metric == "fd_efflite0" and row.weights in ("last", "best")]
    with pytest.raises(ProtocolError, match=f"'{FD}' and '{FD}/best-of-7'"):
        cell_of(rows, "test")


def test_two_protocols_make_two_columns(scores):
    rows = scores.where(metric="fd_efflite0", experiment="fastgan-sle")
    found = columns_of(rows, [])
    assert len({column.protocol for column in found}) == len(found) == 3


def test_failed_seeds_are_counted_next_to_the_mean(tmp_path, settings):
    for seed, reason in enumerate((None, None, "not finite")):
        run = run_description("demo", "fewshot", "fastgan-sle", EMOJI, seed, ["fd_efflite0"])
        folder = write_run(tmp_path / "demo", run, reason)
        if reason is None:
            write_score(folder, "fd_efflite0", 100.0 + seed)
    rows = collected(tmp_path / "demo").where(metric="fd_efflite0")
    assert cell_of(rows, "test").text == "100.5 (1 FAILED)"


def test_an_interval_is_printed_from_three_seeds(tmp_path):
    for seed in range(3):
        run = run_description("demo", "fewshot", "fastgan-sle", EMOJI, seed, ["fd_efflite0"])
        write_score(write_run(tmp_path / "demo", run), "fd_efflite0", 100.0 + seed)
    rows = list(collected(tmp_path / "demo").where(metric="fd_efflite0"))
    assert cell_of(rows, "test").interval == "98.5 … 103.5"
    assert cell_of(rows, "test").text == "101.0 ± 2.5"
    assert cell_of(rows, "test").entry().whole_note == "SD 1.0, n = 3 seeds"
    two = cell_of(rows[:2], "test")
    assert (two.interval, two.text, two.entry().whole_note) == ("", "100.5", "100.0 and 101.0, n = 2 seeds")


def test_a_score_without_a_value_has_a_reason(tmp_path):
    run = run_description("demo", "oneshot", "singan", PHOTO, 0, ["ms_ssim_samples"])
    write_score(write_run(tmp_path / "demo", run), "ms_ssim_samples", None, reason="fewer than two scales fit")
    cell = cell_of(collected(tmp_path / "demo").where(metric="ms_ssim_samples"), "test")
    assert cell.text == "n/a" and cell.reasons == ("fewer than two scales fit",)


def test_accuracy_by_class_is_shown(scores, settings):
    table = per_class_table(scores, FASHION, settings.tasks["classification"])
    assert [head.label for head in table.head] == ["class", "resnet14-slim-w16", "resnext14-w16", "resnet14-w16"]
    assert [[entry.text for entry in row][:2] for row in table.rows] == [["shirt", "80.50"], ["boot", "90.00"]]
    assert {head.note for head in table.head[1:]} == {"top1/made-up"}


def test_records_keep_full_precision_and_one_protocol_each(scores):
    records = comparison_records(scores.where(task="fewshot"))
    sle = [r for r in records if (r["experiment"], r["weights"], r["metric"]) == ("fastgan-sle", "last", "fd_efflite0")]
    assert len(sle) == 1 and sle[0]["mean"] == pytest.approx(301.65) and sle[0]["n"] == 2


def test_the_records_have_the_accuracy_of_each_class(scores):
    records = per_class_records(scores.where(task="classification"))
    assert records[0].keys() == comparison_records(scores.where(task="classification"))[0].keys()
    found = {(r["experiment"], r["class"]): (r["mean"], r["n"], r["protocol"]) for r in records}
    assert found["resnet14-w16", "shirt"] == (pytest.approx(80.5), 2, "top1/made-up")
    assert found["resnet14-slim-w16", "boot"] == (pytest.approx(90.0), 2, "top1/made-up") and len(found) == 6


def test_ablation_levels_come_from_the_arguments(scores, settings):
    (ablation,) = find_ablations(scores.where(task="fewshot"), settings.tasks["fewshot"])
    assert ablation.levels("groups") == {
        "fastgan-slim-4to64": 4,
        "fastgan-slim-4to64-g1": 1,
        "fastgan-slim-4to64-g2": 2,
        "fastgan-slim-4to64-g8": 8,
    }
    table = ablation_table(scores, ablation, settings.tasks["fewshot"])
    assert [row[0].text for row in table.rows] == ["base, groups = 4", "groups = 1", "groups = 2", "groups = 8"]


def test_the_base_and_not_the_name_defines_an_ablation(tmp_path, settings):
    task, bases = settings.tasks["fewshot"], {"fastgan-slim-4to64": None, "mine": "fastgan-slim-4to64"}
    bases |= {"fastgan-slim-4to64-of-mine": None}
    for experiment, base in bases.items():
        run = run_description("demo", "fewshot", experiment, EMOJI, 0, ["fd_efflite0"]) | {"base": base}
        write_score(write_run(tmp_path / "demo", run), "fd_efflite0", 300.0)
    scores = collected(tmp_path / "demo")
    assert {row.experiment: row.base or None for row in scores} == bases
    (ablation,) = find_ablations(scores, task)
    assert ablation.experiments == ["fastgan-slim-4to64", "mine"]
    assert experiments_of(scores, task) == ["fastgan-slim-4to64", "fastgan-slim-4to64-of-mine"]


def test_the_csv_has_the_protocol_of_each_row(tmp_path):
    rows = ((score_cell("fid_cleanfid", "fid_cleanfid/fake500"), TableCell("1")), (TableCell("-"), TableCell("2")))
    write_tables(tmp_path / "t", [Table("t", (Head("metric", numeric=False), Head("value")), rows)])
    assert (tmp_path / "t.csv").read_text(encoding="utf-8") == (
        'metric,value,protocol\n"FID (clean-fid, n=500)",1,fid_cleanfid/fake500\n-,2,\n'
    )
    assert "- FID (clean-fid, n=500): `fid_cleanfid/fake500`" in (tmp_path / "t.md").read_text(encoding="utf-8")


def test_table_files_escape_special_characters(tmp_path):
    table = Table(
        "t", (Head("a_b | c", "p/q_1"), Head("50 %")), ((TableCell("x|y", "n = 2"), TableCell("1 ± 2 & −3")),)
    )
    assert r"| x\|y (n = 2) | 1 ± 2 & −3 |" in markdown(table)
    assert "`p/q_1`" in markdown(table)
    assert r"x\textbar{}y (n = 2) & 1 $\pm$ 2 \& $-$3 \\" in latex(table, "tab:t")
    assert r"a\_b \textbar{} c & 50 \% \\" in latex(table, "tab:t")
    write_tables(tmp_path / "t", [table])
    assert (tmp_path / "t.csv").read_text(encoding="utf-8") == "a_b | c [p/q_1],50 %\nx|y (n = 2),1 ± 2 & −3\n"


def test_a_row_of_another_width_is_refused():
    with pytest.raises(ValueError, match="2 cells for 1 columns"):
        Table("t", (Head("a"),), ((TableCell("1"), TableCell("2")),))


@pytest.mark.parametrize(
    ("value", "text"), [(28_486_942, "28.49 M"), (4_089_000_000, "4.089 G"), (2_000_000, "2 M"), (640, "640")]
)
def test_counts_have_si_prefixes(value, text):
    assert format_count(value) == text


def test_numbers_have_a_minus_sign_and_the_digits_of_their_metric():
    assert format_value("kid_efflite0", -0.00123) == "−0.001"
    assert format_value("top1", 87.654) == "87.65"
    assert format_value("top1", None) == "n/a"


def test_the_list_of_runs_shows_rollbacks_and_events(tmp_path):
    folder = write_run(tmp_path / "demo", run_description("demo", "fewshot", "fastgan-sle", EMOJI, 0, []))
    model = json.loads((folder / "model.json").read_text())
    model["training"] |= {
        "rollbacks": [{"step": 120, "reason": "not finite: loss_d"}],
        "events": ["step 130: out of memory, micro-batch 16"],
    }
    write_json(folder / "model.json", model)
    table = runs_table(collected(tmp_path / "demo"))
    expected = "ok (rolled back at 120: not finite: loss_d; step 130: out of memory, micro-batch 16)"
    assert table.rows[0][1].plain == expected


def test_every_metric_has_a_label():
    assert METRIC_LABELS.keys() == METRICS.keys() | {TRAINING}
    labels = [metric.label for metric in METRIC_LABELS.values()]
    assert len(set(labels)) == len(labels)
