"""Committed schemas, page and defaults equal generated ones. Each file of config/ names its schema and is valid."""

import copy
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from bench.cli import main
from bench.describe import write_descriptions
from bench.describe.page import PAGE
from bench.describe.schemas import SCHEMAS, config_files, schema_of
from bench.files import read_json, read_yaml
from bench.recipes import MARKS
from bench.run import RECIPES, Compute, Evaluation
from tests.helpers import ROOT

NAMES = tuple(config_files())
FILES = sorted((ROOT / "config").rglob("*.yaml"))


def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(read_json(ROOT / SCHEMAS / f"{name}.json"))


def schema_name(path: Path) -> str:
    return "suite" if path.parent.name == "suites" else path.stem


def test_committed_schemas_equal_the_generated_ones(tmp_path):
    """`slim-bench schema` updates them after a change of the models."""
    shutil.copytree(ROOT / SCHEMAS, tmp_path / SCHEMAS)
    (tmp_path / PAGE).parent.mkdir(parents=True)
    shutil.copy(ROOT / PAGE, tmp_path / PAGE)
    assert write_descriptions(tmp_path) == []


def test_only_changed_files_are_written(project, monkeypatch, capsys):
    monkeypatch.chdir(project)
    assert main(["schema"]) == 0
    assert capsys.readouterr().out == f"{PAGE}\n", "config/ is a copy, but the page does not exist yet"
    (project / SCHEMAS / "suite.json").write_text("{}")
    assert main(["schema"]) == 0
    assert capsys.readouterr().out == f"{SCHEMAS}/suite.json\n"
    assert main(["schema"]) == 0
    assert capsys.readouterr().out == ""


def test_schema_writes_nothing_outside_a_project(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["schema"]) == 2
    assert "config/config.yaml: no such file" in capsys.readouterr().err and not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_a_generated_schema_is_a_valid_json_schema(name):
    Draft202012Validator.check_schema(schema_of(name))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT / "config").as_posix())
def test_a_file_names_its_schema_and_is_valid(path):
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    named = first.removeprefix("# yaml-language-server: $schema=")
    assert (path.parent / named).resolve() == ROOT / SCHEMAS / f"{schema_name(path)}.json"
    assert [error.message for error in validator(schema_name(path)).iter_errors(read_yaml(path))] == []


PROBLEMS = [
    ("config", {"sedes": None}),
    ("config", {"folders": {"x": {"pth": "y"}}}),
    ("scales", {"x": {"compute": {"treads": 1}}}),
    ("scales", {"demo": {"fewshot": {"recipe": {"step": 1}}}}),
    ("scales", {"demo": {"fewshot": {"recipe": {"epochs": 1}}}}),
    ("scales", {"demo": {"fewshot": {"model": {"gropus": 1}}}}),
    ("scales", {"paper": {"variations": [{"datasets": [], "recipe": {"step": 1}}]}}),
    ("experiments", {"x": {"taks": "fewshot"}}),
    ("experiments", {"x": {"description": "d", "model": {"args": {"gropus": 1}}}}),
    ("experiments", {"x": {"description": "d", "model": {"name": "fastgan-slmi"}}}),
    ("experiments", {"x": {"description": "d", "recipe": {"step": 1}}}),
    ("experiments", {"No Name": {"description": "d"}}),
    ("ablations", {"x": {"bases": ["fastgan-slim"], "variations": {"g1": {"base": "x", "description": "d"}}}}),
    ("ablations", {"x": {"bases": [], "variations": {}}}),
    ("ablations", {"x": {"bases": ["singan"], "variations": {"a": {"description": "d", "model": {"name": "singan"}}}}}),
    ("ablations", {"x": {"bases": ["singan"], "variations": {"a": {"description": "d", "model": {"args": {"x": 1}}}}}}),
    ("suite", {"runs": [{"scales": ["demo"], "experiment": []}]}),
    ("datasets", {"datasets": {"x": {"tilte": "y"}}}),
    ("claims", {"alpha": 5}),
]


@pytest.mark.parametrize(("name", "problem"), PROBLEMS, ids=str)
def test_a_problem_is_reported(name, problem):
    """The invalid value is added to a valid file, so that it is the only error."""
    path = config_files()[name].path.replace("*", "demo")
    whole = copy.deepcopy(read_yaml(ROOT / "config" / path))

    def merge(into, what):
        for key, value in what.items():
            if isinstance(value, dict) and isinstance(into.get(key), dict):
                merge(into[key], value)
            else:
                into[key] = value

    merge(whole, problem)
    assert list(validator(name).iter_errors(whole))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("config", {"seeds": 3, "folder": "~/cats", "folders": {"a": "b", "c": {"path": "d", "upscale": True}}}),
        ("experiments", {"x": {"description": "d", "model": {"name": "mine.gates:Gate", "args": {"anything": 1}}}}),
        ("experiments", {"x": {"description": "d", "base": "singan", "recipe": {"n_samples": 3}}}),
    ],
)
def test_short_forms_and_user_networks_are_valid(name, value):
    assert not list(validator(name).iter_errors(value))


def described(schema):
    """Return every property of every object of a schema, except the arguments of networks."""
    for title, part in {"": schema, **schema.get("$defs", {})}.items():
        for key, value in part.get("properties", {}).items():
            yield f"{title}.{key}", value


@pytest.mark.parametrize("name", NAMES)
def test_every_key_is_explained(name):
    assert [key for key, value in described(schema_of(name)) if not value.get("description")] == []


def test_every_value_of_the_protocol_names_its_source():
    for model in (*RECIPES.values(), Evaluation, Compute):
        for key, field in model.model_fields.items():
            if key not in ("task", "metrics"):
                assert field.json_schema_extra["mark"] in MARKS, f"{model.__name__}.{key}"


def test_describing_needs_no_torch(tmp_path):
    code = (
        "import sys; from bench.describe import write_descriptions; from pathlib import Path; "
        f"write_descriptions(Path({json.dumps(str(tmp_path))})); "
        "print({'torch', 'pandas', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
