"""The YAML reader and the JSON reader report errors in one line with file and key, and never block."""

import os
import signal
import time

import pytest

from bench.claims import load_settings
from bench.data.manifest import read_manifest
from bench.errors import InputError
from bench.export import read_meta, read_spec
from bench.files import parse_json, parse_yaml, read_json, read_mapping, read_yaml, sha256_file, write_json, write_text
from bench.ownership import is_checkpoint, is_record, read_text_or_empty
from bench.plan import Plan
from bench.report.read.published import load_published
from bench.report.read.scores import read_scores
from bench.run import read_run
from bench.score import read_score

CONFIGURATION = {
    "config.yaml": lambda root: Plan.load(root=root),
    "datasets.yaml": lambda root: Plan.load(root=root),
    "experiments.yaml": lambda root: Plan.load(root=root),
    "scales.yaml": lambda root: Plan.load(root=root),
    "suites/tiny.yaml": lambda root: Plan.load(root=root),
    "claims.yaml": lambda root: load_settings(root / "config/claims.yaml"),
}
RECORDS = {
    "run.json": read_run,
    "scores/kid.json": read_score,
    "manifest.json": lambda path: read_manifest(path.parent),
    "model.json": lambda path: read_meta(path.parent),
    "receipt.json": read_json,
}
DEEP = 100_000


@pytest.fixture
def no_waiting():
    """Make a test fail if a reader blocks, instead of blocking the test suite."""

    def fail(*_):
        raise TimeoutError("still waiting")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def one_line(read, *arguments) -> str:
    with pytest.raises(InputError) as error:
        read(*arguments)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400
    return str(error.value)


@pytest.mark.parametrize("name", CONFIGURATION)
def test_the_error_for_a_duplicate_key_names_the_configuration_file_and_line(project, name):
    path = project / "config" / name
    lines = path.read_text().splitlines()
    write_text(path, "\n".join([*lines, "again: 1", "again: 1"]) + "\n")
    message = one_line(CONFIGURATION[name], project)
    assert f"config/{name}: key 'again' occurs twice" in message and f"line {len(lines) + 2}" in message


@pytest.mark.parametrize("name", CONFIGURATION)
@pytest.mark.parametrize("value", ["[" * 1000 + "]" * 1000, "1" * 5000, "0x" + "f" * 5000], ids=["deep", "long", "hex"])
def test_invalid_yaml_values_give_a_one_line_error(project, name, value):
    path = project / "config" / name
    write_text(path, f"{path.read_text()}\nagain: {value}\n")
    assert f"config/{name}: " in one_line(CONFIGURATION[name], project)


@pytest.mark.parametrize("name", [*CONFIGURATION, "published.csv"])
def test_a_pipe_in_place_of_a_configuration_file_is_refused_without_waiting(project, name, no_waiting):
    path = project / "config" / name
    path.unlink()
    os.mkfifo(path)
    read = CONFIGURATION.get(name, lambda root: load_published(root / "config/published.csv"))
    assert f"config/{name}: not a regular file" in one_line(read, project)


def test_numbers_with_an_exponent_are_parsed(project):
    found = parse_yaml("[1e-4, 5e-2, 2E+3, -1.5e3, .5e-1, 1.e2, 1e5, '1e-4', e-4]", "x")
    assert found == [0.0001, 0.05, 2000.0, -1500.0, 0.05, 100.0, 100000.0, "1e-4", "e-4"]
    path = project / "config/claims.yaml"
    before = load_settings(path)
    assert "\nalpha: 0.05" in path.read_text()
    write_text(path, path.read_text().replace("\nalpha: 0.05", "\nalpha: 5e-2"))
    assert load_settings(path) == before
    write_text(path, path.read_text().replace("\nalpha: 5e-2", "\nalpha: 5e-2\nalpha: 0.01"))
    assert "claims.yaml: key 'alpha' occurs twice" in one_line(load_settings, path)


@pytest.mark.parametrize(
    "text",
    [
        "a: 2024-13-01",
        "a: !!int x",
        "a: !!bool x",
        "a: !!timestamp x",
        "a: !!binary é",
        "a: &b [*b]",
        "a: .nan",
        "a: -.INF",
        "a: !!float nan",
        "a: 1e999",
        'a: "\\ud800"',
        "a: !!python/object/apply:os.system [x]",
        "a: !own x",
        "1: x",
        "null: x",
        "a: 1\n---\na: 2",
        "? [x]\n: 1",
        "\1",
    ],
)
def test_yaml_types_without_a_json_equivalent_give_a_one_line_error(text):
    assert one_line(parse_yaml, text, "config/x.yaml").startswith("config/x.yaml: ")


def bomb(levels: int) -> str:
    """Return YAML with a list of ten items, followed by lists of ten aliases of the previous list."""
    first = "l0: &l0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"
    return "\n".join([first, *(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, levels))])


@pytest.mark.parametrize(
    "text",
    [bomb(30), "a: &b [*b]", "a: &b {c: *b}", "a: &a {x: 1}\nb: &b {<<: *b}", "[" + "1, " * 100_000 + "]"],
    ids=["bomb", "cycle", "cycle-of-mappings", "merged-cycle", "many"],
)
def test_aliases_and_values_are_counted_before_they_are_built(text):
    started = time.monotonic()
    assert "config/x.yaml: more than 50,000 values" in one_line(parse_yaml, text, "config/x.yaml")
    assert time.monotonic() - started < 60


def test_a_few_aliases_are_allowed():
    assert parse_yaml(bomb(2), "x") == {"l0": [1] * 10, "l1": [[1] * 10] * 10}
    assert parse_yaml("a: &a {x: 1, y: 1}\nb: {<<: *a, y: 2}", "x")["b"] == {"x": 1, "y": 2}


@pytest.mark.parametrize("name", [*CONFIGURATION, *RECORDS])
def test_the_size_of_a_file_is_checked_before_reading(project, name):
    """This includes a sparse file, which would be a terabyte of zeros in memory."""
    path = project / ("config" if name in CONFIGURATION else "") / name
    path.parent.mkdir(exist_ok=True)
    path.touch()
    os.truncate(path, 2**40)
    message = one_line(CONFIGURATION[name], project) if name in CONFIGURATION else one_line(RECORDS[name], path)
    assert f"{name}: larger than " in message and " MiB, the limit for such files" in message


@pytest.mark.parametrize("name", RECORDS)
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"seed": 1, "task": "fewshot", "seed": 2}', "key 'seed' occurs twice"),
        ('{"recipe": {"steps": 1, "steps": 2}}', "key 'steps' occurs twice"),
        ("[" * DEEP + "]" * DEEP, "nested too deeply"),
        ('{"seed": ' + "1" * 5000 + "}", "an integer of 5000 digits"),
        ("", "not JSON"),
        ('{"seed": NaN}', "seed: nan is not a finite number"),
        ('{"seed": -Infinity}', "seed: -inf is not a finite number"),
        ('{"seed": 1e999}', "seed: inf is not a finite number"),
        ('{"run": "\\udcff"}', "lone surrogate: \\udcff"),
    ],
    ids=["twice", "twice-inside", "deep", "long", "empty", "nan", "infinity", "large", "surrogate"],
)
def test_an_invalid_record_gives_a_one_line_error(tmp_path, name, text, message):
    write_text(tmp_path / name, text)
    assert f"{tmp_path / name}: {message}" in one_line(RECORDS[name], tmp_path / name)


@pytest.mark.parametrize("depth", [100, 300, 900, 3000])
def test_deeply_nested_values_are_refused(tmp_path, depth):
    write_text(tmp_path / "run.json", '{"seed": ' + "[" * depth + "]" * depth + "}")
    assert str(tmp_path / "run.json") in one_line(read_run, tmp_path / "run.json")


@pytest.mark.parametrize("name", RECORDS)
def test_a_pipe_in_place_of_a_record_is_refused_without_waiting(tmp_path, name, no_waiting):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    os.mkfifo(tmp_path / name)
    message = {"manifest.json": "no manifest.json"}.get(name, f"{name}: not a regular file")
    assert message in one_line(RECORDS[name], tmp_path / name)
    assert read_mapping(tmp_path / name) == {} and not is_record(tmp_path / name)


def test_other_readers_do_not_read_pipes_and_devices(tmp_path, no_waiting):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        for read in (sha256_file, read_yaml, read_spec, read_scores):
            assert f"{path}: not a regular file" in one_line(read, path)
    assert read_text_or_empty(tmp_path / "pipe") == "" and not is_checkpoint(tmp_path / "pipe")


def test_a_link_to_a_file_is_read(tmp_path):
    write_json(tmp_path / "a.json", {"a": 1})
    (tmp_path / "b.json").symlink_to("a.json")
    assert read_json(tmp_path / "b.json") == {"a": 1}
    (tmp_path / "a.json").unlink()
    assert "no such file" in one_line(read_json, tmp_path / "b.json")


def test_json_values_are_unchanged_after_writing_and_reading(tmp_path):
    value = {"a": [1, -2, 2**53, 0.1, 1e-300, None, True, {"b": "ü"}], "c": {}}
    write_json(tmp_path / "x.json", value)
    assert read_json(tmp_path / "x.json") == value == parse_json((tmp_path / "x.json").read_text(), "x")
