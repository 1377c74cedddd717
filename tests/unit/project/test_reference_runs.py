"""The recorder of reference results: settings, environment of the jobs, means and tolerances. Nothing is trained."""

import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.errors import InputError
from bench.files import read_json
from bench.report.compare.reference import ReferenceResults, ReferenceScore, agreements
from bench.schema import parse_strict
from benchmarks import reference_runs
from benchmarks.reference_runs import (
    SETTINGS,
    Recording,
    job_environment,
    main,
    plan_recording,
    reference_scores,
    supported_settings,
)
from tests.helpers.project import make_repository
from tests.helpers.reference_cases import Values, made_scores
from tests.helpers.report_fixture import collected, make_results

FID, PARAMS = "fid_cleanfid", "params"


def values(seed0: float, seed1: float, params: float = 0.1) -> Values:
    return {
        ("slim", 0, FID, "last"): seed0,
        ("slim", 1, FID, "last"): seed1,
        ("slim", 0, PARAMS, "last"): params,
    }


def recorded(*tables: Values) -> dict[tuple[str, str], ReferenceScore]:
    found = reference_scores({name: made_scores(table) for name, table in zip(SETTINGS, tables, strict=False)})
    return {(score.run, score.metric): score for score in found}


def test_the_tolerance_is_three_ranges_over_the_settings():
    found = recorded(values(300, 301), values(304, 302), values(302, 300))
    score = found["slim/emoji/seed0", FID]
    assert (score.mean, score.tolerance, score.n) == (302, 12, 250)
    assert found["slim/emoji/seed1", FID].tolerance == 6


def test_the_tolerance_is_not_below_the_spread_over_seeds():
    found = recorded(values(300, 320), values(302, 318))
    assert found["slim/emoji/seed0", FID].tolerance == pytest.approx((319 - 301) / 2**0.5)


def test_the_tolerance_is_not_below_rounding_except_for_counts():
    score = recorded(values(300, 300), values(300, 300))["slim/emoji/seed0", FID]
    assert score.tolerance == pytest.approx(3e-4)


def test_equal_counts_have_their_exact_mean_and_no_tolerance():
    score = recorded(values(1, 2), values(3, 4), values(5, 6))["slim/emoji/seed0", PARAMS]
    assert (score.mean, score.tolerance) == (0.1, 0.0)
    (agreement,) = agreements(made_scores({("slim", 0, PARAMS, "last"): 0.1}), (score,))
    assert agreement.state == "within"


def test_tables_keep_the_order_of_scores():
    forward = values(300, 301)
    backward = dict(reversed(forward.items()))
    assert list(recorded(forward, forward)) == list(recorded(backward, forward))
    assert list(recorded(forward, forward)) == sorted(recorded(forward, forward))


@pytest.mark.parametrize("other", [{}, {("slim", 1, FID, "last"): None}, {("slim", 1, FID, "last"): float("nan")}])
def test_a_score_missing_in_one_setting_is_named(other):
    second = values(1, 2)
    del second["slim", 1, FID, "last"]
    with pytest.raises(InputError, match=r"default-sse41: slim/emoji/seed1 fid_cleanfid last: no value"):
        recorded(values(1, 2), second | other)


def test_two_protocols_are_not_averaged():
    tables = {"a": made_scores(values(1, 2)), "b": made_scores(values(1, 2), protocol="other")}
    with pytest.raises(InputError, match="scores of two protocols"):
        reference_scores(tables)


def test_settings_depend_on_the_instructions_of_the_cpu():
    assert supported_settings({"avx2", "avx512f"}) == list(SETTINGS)
    assert supported_settings({"avx2"}) == ["native", "default-sse41", "avx2-sse41", "default-avx2"]
    assert supported_settings(set()) == ["native"]


@pytest.mark.parametrize(("scale", "count"), [("tiny", 6), ("demo", 3)])
def test_one_additional_setting_is_run_as_a_check(monkeypatch, scale, count):
    monkeypatch.setattr(reference_runs, "git_state", lambda: ("c0ffee", False))
    assert plan_recording(scale, None, list(SETTINGS)).settings == tuple(SETTINGS)[: count + 1]
    assert plan_recording(scale, None, supported_settings({"avx2"})).settings[0] == "native"


@pytest.mark.parametrize(
    ("scale", "given", "message"),
    [
        ("demos", None, "did you mean 'demo'"),
        ("demo", ["native", "avx3", "avx2-avx2"], "--settings: 'avx3' is not known"),
        ("demo", ["native", "avx512-avx2", "avx2-sse41"], "--settings avx512-avx2: this CPU does not support it"),
        ("demo", ["native", "native", "avx2-sse41"], "got 2, but at least 3 settings are needed"),
    ],
)
def test_an_impossible_recording_is_refused_before_the_runs(monkeypatch, scale, given, message):
    monkeypatch.setattr(reference_runs, "git_state", lambda: ("c0ffee", False))
    with pytest.raises(InputError) as caught:
        plan_recording(scale, given, supported_settings({"avx2"}))
    assert message in str(caught.value)


def test_reference_results_need_a_commit(monkeypatch, capsys):
    monkeypatch.setattr(reference_runs, "cpu_flags", lambda: {"avx2"})
    monkeypatch.setattr(reference_runs, "git_state", lambda: (None, None))
    assert main(["demo"]) == 2
    assert "not a git repository" in capsys.readouterr().err


def test_jobs_get_the_setting_and_the_code_of_the_clone(tmp_path):
    outside = {"ATEN_CPU_CAPABILITY": "avx2", "SNAKEMAKE_PROFILE": "x", "SLIM_BENCH_CACHE": "shared", "HOME": "/home"}
    native = job_environment(tmp_path, "native", outside)
    assert native.keys() == {"HOME", "PATH", "PYTHONPATH", "CUDA_VISIBLE_DEVICES"}
    assert native["PYTHONPATH"] == str(tmp_path) and native["CUDA_VISIBLE_DEVICES"] == ""
    assert native["PATH"].startswith(str(Path(sys.executable).parent))
    assert job_environment(tmp_path, "default-sse41", outside).items() > SETTINGS["default-sse41"].items()


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """Return a repository with one file, which is the project of the recorder. Its workflow copies fixture results."""
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    root = tmp_path / "project"
    root.mkdir()
    (root / "README.md").write_text("project\n")
    make_repository(root)
    command = ["git", "-C", str(root), "rev-parse", "HEAD"]
    head = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    monkeypatch.setattr(reference_runs, "ROOT", root)
    monkeypatch.setattr(reference_runs, "CLONES", root / "build/reference")
    return Recording("demo", head, ("native", "default-sse41", "avx2-avx2"))


def test_finished_settings_are_not_repeated(repository, monkeypatch):
    """The first workflow is interrupted, the second finishes, and the third call starts none."""
    run, started = subprocess.run, []

    def workflow(command, **options):
        if "snakemake" not in command:
            return run(command, **options)
        assert options["env"]["ATEN_CPU_CAPABILITY"] == "default" and command[-1] == "demo"
        assert (options["cwd"] / "README.md").read_text() == "project\n"
        started.append(options["cwd"])
        if len(started) == 2:
            collected(make_results(options["cwd"]))
        return SimpleNamespace(returncode=2 - len(started))

    monkeypatch.setattr(reference_runs.subprocess, "run", workflow)
    with pytest.raises(InputError, match="snakemake failed; run the same command again to resume"):
        reference_runs.run_setting(repository, "default-sse41")
    first = reference_runs.run_setting(repository, "default-sse41")
    assert len(reference_runs.run_setting(repository, "default-sse41")) == len(first) > 50
    assert started == [repository.clone("default-sse41")] * 2


def test_the_file_has_the_settings_and_the_check(repository, monkeypatch, tmp_path, capsys):
    tables = {
        "native": made_scores(values(300, 310)),
        "default-sse41": made_scores(values(302, 308)),
        "avx2-avx2": made_scores(values(301, 340)),
    }
    monkeypatch.setattr(reference_runs, "plan_recording", lambda *_: repository)
    monkeypatch.setattr(reference_runs, "run_setting", lambda _, setting: tables[setting])
    assert main(["demo"]) == 0
    out = capsys.readouterr().out.splitlines()
    path = tmp_path / "project/benchmarks/reference/demo.json"
    reference = parse_strict(ReferenceResults, read_json(path), path)
    assert reference.settings == {name: SETTINGS[name] for name in ("native", "default-sse41")}
    assert reference.commit == repository.commit and reference.torch == "2.0" and reference.cpu
    assert (reference.left_out.name, reference.left_out.within, reference.left_out.scores) == ("avx2-avx2", 2, 3)
    assert out == [
        "outside: slim/emoji/seed1 fid_cleanfid last = 340",
        "benchmarks/reference/demo.json: 2 of 3 scores of avx2-avx2 are within the tolerance",
    ]
