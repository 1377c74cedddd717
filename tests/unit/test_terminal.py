"""No command prints control characters of a name, a reason or a path to the terminal."""

import io
import json
import sys

import pytest

from bench.cli import main
from bench.paths import run_folder
from bench.plan import Plan
from bench.run import write_run
from bench.terminal import EscapedOutput, escaped, escaped_output, one_line
from bench.workflow import WorkflowPlan

HOSTILE = "a\x1b[31mb\x07\x9b2J\u202ec\x7f\rd\x00"


def is_plain(text: str) -> bool:
    return escaped(text) == text


@pytest.fixture
def workdir(monkeypatch, project):
    monkeypatch.chdir(project)
    return project


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", "\\x1b[2J"),
        ("a\x07\x08\x7f", "a\\x07\\x08\\x7f"),
        ("\x9b31m", "\\x9b31m"),
        ("\u202eabc\u2066", "\\u202eabc\\u2066"),
        ("caf\udce9", "caf\\xe9"),
        ("\ud800", "\\ud800"),
        ("tab\tand\nline, ü é 😀 ± →", "tab\tand\nline, ü é 😀 ± →"),
    ],
)
def test_control_characters_are_escaped_and_text_is_unchanged(text, shown):
    assert escaped(text) == shown


def test_line_breaks_and_tabs_are_escaped():
    assert one_line("a\nb\tc\rd\u2028e") == "a\\nb\\tc\\rd\\u2028e"


def test_characters_outside_the_encoding_are_escaped():
    raw = io.BytesIO()
    stream = EscapedOutput(io.TextIOWrapper(raw, encoding="ascii"))
    assert stream.write("ü\x1b→") == 3
    stream.flush()
    assert raw.getvalue() == b"\\xfc\\x1b\\u2192"


def test_a_progress_bar_redraws_only_on_a_terminal():
    for terminal in (True, False):
        text = io.StringIO()
        text.isatty = lambda terminal=terminal: terminal
        EscapedOutput(text).write("\r 10%\r")
        assert text.getvalue() == ("\r 10%\\r" if terminal else "\\r 10%\\r")


def test_stdout_and_stderr_are_restored(capsys):
    before = sys.stdout, sys.stderr
    with escaped_output():
        print(HOSTILE)
        print(HOSTILE, file=sys.stderr)
    assert (sys.stdout, sys.stderr) == before
    assert is_plain("".join(capsys.readouterr()))


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--run", HOSTILE.replace("\0", "")],
        ["plan", HOSTILE],
        ["plan", "demo", "--scale", HOSTILE],
        ["status", HOSTILE],
        ["collect", "--scale", HOSTILE],
        ["fetch", HOSTILE],
        ["audit", HOSTILE.replace("\0", "")],
        ["prepare", HOSTILE],
        ["prepare", "fashion-mnist", "--size", HOSTILE],
        ["sample", "--model", HOSTILE.replace("\0", ""), "--out", "x.png"],
        ["evaluate", "--samples", "\udcff" + HOSTILE.replace("\0", ""), "--reference", "x"],
        [HOSTILE],
        ["freeze", "--experiment", HOSTILE, "--dataset", "x", "--seed", "0", "--out", "x"],
        ["plan", "demo", "--folder", f"x={{path: {HOSTILE}}}"],
    ],
)
def test_command_errors_contain_no_control_characters(workdir, capsys, arguments):
    try:
        code = main(arguments)
    except SystemExit as end:  # argparse
        code = end.code
    captured = capsys.readouterr()
    assert code == 2 and captured.err and is_plain(captured.err + captured.out)


def test_status_and_plan_escape_control_characters(workdir, capsys):
    run = Plan.load().runs("demo")[0]
    folder = workdir / run_folder(run.scale, run.experiment, run.dataset, run.seed)
    folder.mkdir(parents=True)
    write_run(folder / "run.json", run)
    (folder / "model.json").write_text(json.dumps({"status": "failed", "reason": f"{HOSTILE}\nsecond line"}))
    for command in ("status", "plan"):
        assert main([command, "demo"]) == 0
        out = capsys.readouterr().out
        assert is_plain(out) and "\nsecond line" not in out


def test_the_workflow_ends_with_one_line(workdir, edit):
    edit("scales.yaml", "demo:\n", '"d\\e[31m":\n')
    with pytest.raises(SystemExit) as end:
        WorkflowPlan.open({})
    assert is_plain(str(end.value)) and "\n" not in str(end.value)
