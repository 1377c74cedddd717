"""The page of each run, and its place among the files that the report writes and removes."""

import json
import shutil

import pytest

from bench.errors import InputError
from bench.files import read_mapping
from bench.input_hashes import RENDERED
from bench.report.history_plot import history_plot
from bench.report.outputs import run_link, run_page
from bench.report.protocol_text import describe_protocol
from bench.report.read.collect import collect
from bench.report.read.scores import read_scores
from bench.report.report_files import REMEDY, begin_report, end_report
from bench.report.run_cards import run_cards
from tests.helpers.report_fixture import EMOJI, FD, collected, make_results, run_description, write_run, write_score

RUN = f"fastgan-sle/{EMOJI}/seed0"


@pytest.fixture(scope="module")
def cards(tmp_path_factory):
    scale_dir = make_results(tmp_path_factory.mktemp("cards"), seeds=1)
    record = scale_dir / "runs" / RUN / "model.json"
    machine = {"os": "Linux-6", "cpu": "A CPU, 2 cores", "memory": "8.0 GiB"}
    record.write_text(json.dumps(read_mapping(record) | {"machine": machine}))
    log = scale_dir.parent.parent / "logs" / "demo" / "runs" / RUN / "train.log"
    log.parent.mkdir(parents=True)
    log.write_text("".join(f"line {index} <b>\x1b[31m\n" for index in range(50)))
    collect(scale_dir)
    return dict(run_cards(read_scores(scale_dir / "scores.csv"), scale_dir))


def test_a_card_has_configuration_history_samples_machine_and_the_end_of_the_log(cards):
    text = cards[run_page(RUN)]
    assert "<script" not in text
    for part in ("Linux-6", "A CPU, 2 cores", "8.0 GiB", "0.0", "c0ffee" * 6, FD, "500 generated images"):
        assert part in text, part
    assert "&#34;experiment&#34;: &#34;fastgan-sle&#34;" in text
    assert "<polyline" in text and "data:image/webp" in text
    assert "line 49 &lt;b&gt;\\x1b[31m" in text and "line 29" not in text
    assert f"slim-bench train --run results/demo/runs/{RUN}/run.json" in text


def test_the_scores_of_a_card_begin_with_fid(tmp_path):
    scale_dir = tmp_path / "demo"
    metrics = ["coverage_efflite0", "fd_efflite0", "fid_cleanfid", "params"]
    folder = write_run(scale_dir, run_description("demo", "fewshot", "fastgan-sle", EMOJI, 0, metrics))
    for metric in metrics:
        write_score(folder, metric, 1.0)
    ((_, text),) = run_cards(collected(scale_dir), scale_dir)
    shown = text[text.index("<h2>Scores</h2>") : text.index("<h2>Protocols</h2>")]
    positions = [shown.index(f"<td>{label}") for label in ("FID (", "FD (", "Coverage (", "Parameters")]
    assert positions == sorted(positions)


def test_runs_that_failed_or_did_not_start_have_a_card(cards):
    assert "not finite after 3 rollbacks" in cards[run_page(f"fastgan-sle-residual/{EMOJI}/seed0")]
    assert any("not started" in text for text in cards.values())


@pytest.mark.parametrize("run", ["../../x", "a/../seed0", "a/b", "a/b/c/d", "a//seed0", "a/b\\c/seed0"])
def test_a_card_is_written_to_the_given_folder_only(run):
    with pytest.raises(InputError, match=r"^scores.csv: run .* recreate it with `slim-bench collect`$"):
        run_page(run)


def test_special_characters_of_names_are_quoted_in_links():
    assert run_link("a#1/b c/seed0") == "runs/a%231/b%20c/seed0.html"


def write_card(scale_dir, run, text='<meta name="generator" content="slim-bench run">'):
    path = scale_dir / run_page(run)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_cards_of_removed_runs_are_removed_unless_edited(tmp_path):
    old, edited, kept = (f"{name}/set/seed0" for name in ("old", "edited", "kept"))
    paths = {run: write_card(tmp_path, run) for run in (old, edited, kept)}
    end_report(tmp_path, "x", [run_page(run) for run in paths])
    paths[edited].write_text("mine")
    begin_report(tmp_path, [run_page(kept)])
    assert [run for run, path in paths.items() if path.exists()] == [edited, kept]
    assert not paths[old].parent.parent.exists()


def test_a_foreign_file_is_not_overwritten_by_a_card(tmp_path):
    path = write_card(tmp_path, "a/set/seed0", "mine")
    end_report(tmp_path, "x", [])
    for record in (True, False):
        if not record:
            (tmp_path / RENDERED).unlink()
        with pytest.raises(InputError, match=f"is not a file that slim-bench wrote.*{REMEDY}"):
            begin_report(tmp_path, [run_page("a/set/seed0")])
    assert path.read_text() == "mine"


def test_cards_of_an_interrupted_report_are_written_again(tmp_path):
    begin_report(tmp_path, [run_page("a/set/seed0")])
    path = write_card(tmp_path, "a/set/seed0")
    begin_report(tmp_path, [run_page("a/set/seed0")])
    assert path.exists()
    begin_report(tmp_path, [])
    assert not path.exists()


def test_a_history_without_numbers_has_no_plot(tmp_path):
    path = tmp_path / "history.csv"
    assert history_plot(path) is None
    path.write_text("step,loss\n1,nan\n2,x\n\0")
    assert history_plot(path) is None
    path.write_text("step,seconds,loss_<g>\n0,1,2\n10,2,inf\n20,3,1\n")
    plot = history_plot(path)
    assert plot.count("<polyline") == 1 and "loss &lt;g&gt;" in plot and "step 20" in plot


def test_a_protocol_has_a_readable_description():
    assert describe_protocol(FD) == (
        "features of EfficientNet-Lite0, images of 64 px, all 100 real images, 500 generated images, "
        "weights averaged with decay 0.999 after a warm-up, batch norm with the statistics of batches of 16"
    )
    assert describe_protocol("x/new-part2") == "new part2" and describe_protocol("x") == "no further details"


def test_a_run_without_files_has_a_card(tmp_path):
    scale_dir = tmp_path / "results" / "demo"
    run = run_description("demo", "fewshot", "fastgan-sle", EMOJI, 0, ["fd_efflite0"])
    write_score(write_run(scale_dir, run), "fd_efflite0", 1.0)
    collect(scale_dir)
    shutil.rmtree(scale_dir / "runs")
    ((path, text),) = run_cards(read_scores(scale_dir / "scores.csv"), scale_dir)
    assert path == f"report/runs/{RUN}.html" and "fd_efflite0" in text
