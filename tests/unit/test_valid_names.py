"""Names of scales, experiments, datasets and suites are validated in every command and file."""

import json

import pytest

from bench.cli import main
from bench.errors import InputError
from bench.plan import Plan
from bench.run import read_run, write_run
from bench.schema import valid_name
from bench.workflow import WorkflowPlan

ELSEWHERE = ["../data", "..", ".", "/tmp", "demo/../../data", "demo/", "", " demo", "De", "a\nb", "a" * 81, "~", "-n"]


@pytest.fixture
def workdir(monkeypatch, project):
    (project / "results/demo/runs").mkdir(parents=True)
    (project / "data").mkdir()
    monkeypatch.chdir(project)
    return project


@pytest.mark.parametrize("name", ELSEWHERE)
def test_names_with_path_components_are_refused(name):
    with pytest.raises(InputError, match="a name may contain only a-z, 0-9 and -"):
        valid_name(name, "scale")


@pytest.mark.parametrize("command", ["collect", "report", "status", "plan demo", "freeze"])
@pytest.mark.parametrize("scale", ["../data", "/tmp", "..", ".", "demo/../../data", "demo/"])
def test_a_path_in_place_of_a_scale_is_refused(workdir, capsys, command, scale):
    rest = ["--experiment", "fastgan-sle", "--dataset", "fluent-emoji-100", "--seed", "0", "--out", "my/run.json"]
    assert main([*command.split(), "--scale", scale, *(rest if command == "freeze" else [])]) == 2
    message = [line for line in capsys.readouterr().err.splitlines() if " slim-bench " not in line]  # the log line
    assert len(message) == 1 and message[0].startswith("slim-bench: error: ")
    assert list((workdir / "data").iterdir()) == [] and not (workdir / "my").exists()


@pytest.mark.parametrize("option", ["--experiment", "--dataset"])
def test_a_path_in_place_of_a_name_is_refused_for_experiments_and_datasets(workdir, option):
    given = {"--experiment": "fastgan-sle", "--dataset": "fluent-emoji-100"} | {option: "../../data"}
    words = [word for pair in given.items() for word in pair]
    assert main(["freeze", *words, "--seed", "0", "--out", "my/run.json"]) == 2


@pytest.mark.parametrize("words", [["prepare", "../data", "--size", "64"], ["fetch", "../data"], ["status", "../demo"]])
def test_a_path_in_place_of_a_name_is_refused_by_every_command(workdir, words):
    assert main(words) == 2
    assert list((workdir / "data").iterdir()) == []


@pytest.mark.parametrize("config", [{"scale": "../data"}, {"folders": {"../data": "x"}}, {"scale": "."}])
def test_a_path_in_place_of_a_name_is_refused_in_the_configuration(workdir, config):
    with pytest.raises(SystemExit, match="slim-bench: error: "):
        WorkflowPlan.open(config)


def test_an_invalid_suite_name_is_refused(workdir):
    (workdir / "config/suites/demo.yaml").rename(workdir / "config/suites/my suite.yaml")
    with pytest.raises(SystemExit, match="'my suite': a name may"):
        WorkflowPlan.open({})


@pytest.mark.parametrize("key", ["scale", "experiment", "dataset", "base"])
def test_a_path_in_place_of_a_name_is_refused_in_run_json(workdir, key):
    write_run(workdir / "run.json", Plan.load().runs("demo")[0])
    value = json.loads((workdir / "run.json").read_text())
    (workdir / "run.json").write_text(json.dumps(value | {key: "../../data"}))
    with pytest.raises(InputError, match=rf"run\.json: {key}: "):
        read_run(workdir / "run.json")
