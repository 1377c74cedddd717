"""collect and report overwrite only files that slim-bench wrote."""

import json

import pytest
from PIL import Image

from bench.cli import main
from bench.input_hashes import COLLECTED, RENDERED
from bench.report.outputs import OUTPUTS
from bench.report.report_files import PATHS
from tests.helpers.report_fixture import EMOJI, make_results


@pytest.fixture
def demo(project, monkeypatch):
    monkeypatch.chdir(project)
    return make_results(project, seeds=1)


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def error(capsys):
    return capsys.readouterr().err.strip().splitlines()[-1].removeprefix("slim-bench: error: ")


@pytest.mark.parametrize("name", ["scores.csv", "metrics.json"])
@pytest.mark.parametrize("text", ["a,b\n1,2\n", '{"mine": {}}', "[]"])
def test_collect_refuses_a_name_taken_by_something_else(demo, capsys, name, text):
    (demo / name).write_text(text)
    before = content(demo)
    assert main(["collect"]) == 2
    assert error(capsys).startswith(f"results/demo/{name}: is not a file that slim-bench wrote")
    assert content(demo) == before


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", "mine", '{"made_from": []}', '{"made_from": "a", "files": []}', None]
)
def test_a_damaged_record_of_table_or_page_is_written_again(demo, monkeypatch, text):
    """The file keeps its content. `None` means a folder."""
    monkeypatch.setattr("bench.report.page.html_of", lambda *_: "<title>SLIM and its baselines")
    monkeypatch.setattr("bench.report.build.build", lambda *_: None)
    assert main(["collect"]) == 0 and main(["report"]) == 0
    for name in (COLLECTED, RENDERED):
        (demo / name).unlink()
        if text is None:
            (demo / name / "inner").mkdir(parents=True)
        else:
            (demo / name).write_text(text)
    assert main(["collect"]) == 0 and main(["report"]) == 0
    assert all(json.loads((demo / name).read_text())["made_from"] for name in (COLLECTED, RENDERED))
    if text in ("[]", "{}", "mine"):
        assert {(demo / f"{name}.aside-1").read_text() for name in (COLLECTED, RENDERED)} == {text}


def test_collect_replaces_only_its_files(demo):
    (demo / "notes.csv").write_text("mine")
    assert main(["collect"]) == 0 and main(["collect"]) == 0
    (demo / "scores.csv").write_text("")  # left by a full disk
    assert main(["collect"]) == 0
    assert (demo / "notes.csv").read_text() == "mine"


TAKEN = (
    "tables/summary.csv",
    "tables/claims.md",
    "tables/runs.tex",
    "figures/complexity.png",
    "figures/ablations.svg",
    "figures/curves_oneshot.pdf",
)


@pytest.mark.parametrize("name", [*TAKEN, "figures/neighbours.png", "report/index.html"])
def test_report_refuses_a_name_taken_by_something_else(demo, capsys, monkeypatch, name):
    assert main(["collect"]) == 0
    path = demo / name
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".png":
        Image.new("RGB", (2, 2)).save(path)
    else:
        path.write_text("mine")
    before = content(demo)
    monkeypatch.setattr("bench.report.build.build", None)
    assert main(["report"]) == 2
    assert error(capsys).startswith(f"results/demo/{name}: is not a file that slim-bench wrote")
    assert content(demo) == before


def test_report_replaces_only_its_files(demo, capsys, monkeypatch):
    assert main(["collect"]) == 0
    for name in ("tables/notes.md", "figures/mine.png", "report/mine.html"):
        (demo / name).parent.mkdir(exist_ok=True)
        (demo / name).write_text("mine")
    assert main(["report"]) == 0
    assert content(demo).keys() >= {*PATHS} and {*PATHS} >= OUTPUTS.keys()
    record = json.loads((demo / RENDERED).read_text())
    (demo / RENDERED).unlink()  # as an earlier version without the record wrote it
    for name in TAKEN:
        (demo / name).unlink()
    monkeypatch.setattr("bench.report.page.html_of", lambda *_: "the new page")
    monkeypatch.setattr("bench.report.build.build", lambda *_: None)
    assert main(["report"]) == 0
    assert (demo / "report/index.html").read_text() == "the new page"
    assert all((demo / name).read_text() == "mine" for name in ("tables/notes.md", "figures/mine.png"))
    assert record["made_from"] == json.loads((demo / RENDERED).read_text())["made_from"]
    (demo / "tables/claims.md").write_text("edited")
    assert main(["report"]) == 2
    assert error(capsys).startswith("results/demo/tables/claims.md: is not")
    assert (demo / "tables/claims.md").read_text() == "edited"


def test_a_report_that_was_killed_is_written_again(demo, monkeypatch):
    assert main(["collect"]) == 0

    def killed(*_):
        (demo / "tables").mkdir()
        (demo / "tables/claims.md").write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr("bench.report.build.build", killed)
    assert main(["report"]) == 130
    monkeypatch.setattr("bench.report.page.html_of", lambda *_: "the page")
    monkeypatch.setattr("bench.report.build.build", lambda *_: None)
    assert main(["report"]) == 0


def test_unreadable_results_are_missing_in_every_table_and_on_the_page(demo):
    slim = [
        demo / f"runs/fastgan-slim-4to64/{EMOJI}/seed0/scores/{name}.json" for name in ("fd_efflite0", "kid_efflite0")
    ]
    slim[0].write_text("[]")
    slim[1].unlink()
    (demo / f"runs/fastgan-sle/{EMOJI}/seed0/run.json").write_text("{")
    lost = demo / "runs/lost/nowhere/seed0/run.json"
    lost.parent.mkdir(parents=True)
    lost.write_text("[]")
    assert main(["collect"]) == 0 and main(["report"]) == 0
    for name, row in (
        ("summary", EMOJI),
        ("fewshot", "fastgan-slim-4to64 (SLIM)"),
        ("ablations", "base, "),
        ("paired", EMOJI),
        ("runs", f"fastgan-sle/{EMOJI}/seed0"),
        ("runs", "lost/nowhere/seed0"),
    ):
        lines = [line for line in (demo / f"tables/{name}.md").read_text().splitlines() if line.startswith(f"| {row}")]
        assert any("MISSING" in line for line in lines), (name, lines)
    page = (demo / "report/index.html").read_text()
    for problem in (
        "run.json: not JSON",
        "run.json: Input should be an object",
        "scores/fd_efflite0.json: Input should be",
    ):
        assert problem in page
