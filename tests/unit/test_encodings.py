"""Files in UTF-8 with or without a byte order mark are read. Other encodings give a one-line error."""

import codecs

import pytest

from bench.claims import load_settings
from bench.errors import InputError
from bench.files import write_text
from bench.plan import Plan
from bench.report.read.published import load_published
from bench.run import read_run, write_run

READERS = {
    "config.yaml": lambda root: Plan.load(root=root),
    "datasets.yaml": lambda root: Plan.load(root=root),
    "experiments.yaml": lambda root: Plan.load(root=root),
    "ablations.yaml": lambda root: Plan.load(root=root),
    "scales.yaml": lambda root: Plan.load(root=root),
    "suites/tiny.yaml": lambda root: Plan.load(root=root),
    "claims.yaml": lambda root: load_settings(root / "config/claims.yaml"),
    "published.csv": lambda root: load_published(root / "config/published.csv"),
}


@pytest.mark.parametrize("name", READERS)
def test_a_byte_order_mark_is_ignored(project, name):
    path = project / "config" / name
    before = READERS[name](project)
    path.write_bytes(codecs.BOM_UTF8 + path.read_bytes())
    after = READERS[name](project)
    assert after.configuration == before.configuration if isinstance(after, Plan) else after == before


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1"])
@pytest.mark.parametrize("name", READERS)
def test_another_encoding_is_named_with_the_file(project, name, encoding):
    path = project / "config" / name
    path.write_bytes((path.read_text(encoding="utf-8") + "# Zürich\n").encode(encoding, "replace"))
    with pytest.raises(InputError) as error:
        READERS[name](project)
    assert str(error.value) == f"{path}: not UTF-8 text; save it in the encoding UTF-8"


@pytest.mark.parametrize("text", ["", "\n", "# nothing is set\n"])
def test_an_empty_configuration_sets_nothing(project, text):
    write_text(project / "config/config.yaml", text)
    settings = Plan.load(root=project).configuration.settings
    assert settings.scale is None and settings.seeds is None and not settings.folders


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("datasets.yaml", "config/datasets.yaml: datasets: Field required"),
        ("experiments.yaml", "is not known"),
        ("scales.yaml", "scale: 'demo' is not known"),
        ("suites/tiny.yaml", "config/suites/tiny.yaml: description: Field required"),
        ("claims.yaml", "config/claims.yaml: verdict_scale: Field required"),
    ],
)
def test_other_empty_files_are_refused_with_the_missing_key(project, name, message):
    write_text(project / "config" / name, "")
    with pytest.raises(InputError) as error:
        READERS[name](project)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_table_without_published_values_is_empty(project):
    write_text(project / "config/published.csv", "")
    assert load_published(project / "config/published.csv") == []


def test_run_json_with_a_byte_order_mark_is_read(tmp_path):
    run = Plan.load().runs("tiny")[0]
    write_run(tmp_path / "run.json", run)
    (tmp_path / "run.json").write_bytes(codecs.BOM_UTF8 + (tmp_path / "run.json").read_bytes())
    assert read_run(tmp_path / "run.json") == run
    (tmp_path / "run.json").write_text((tmp_path / "run.json").read_text(encoding="utf-8-sig"), encoding="utf-16")
    with pytest.raises(InputError, match=r"run\.json: not UTF-8 text"):
        read_run(tmp_path / "run.json")
