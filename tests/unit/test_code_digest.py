"""The code digest covers only the behaviour of reachable code."""

import pytest

from bench.code_digest import _fingerprint, _imports, code_digest
from bench.source import parse_source

BASE = 'import bench.b\n\n\ndef f(x):\n    """Text."""\n    return x + 1\n'


@pytest.fixture
def digest(tmp_path):
    """Return digest(a=, b=, c=), the digest of module bench.a, from which c is not reached."""

    def compute(**texts: str) -> str:
        sources = {"__init__": "", "a": BASE, "b": "VALUE = 1\n", "c": "VALUE = 2\n"} | texts
        (tmp_path / "bench").mkdir(exist_ok=True)
        for name, text in sources.items():
            (tmp_path / "bench" / f"{name}.py").write_text(text)
        for cached in (code_digest, parse_source, _imports, _fingerprint):
            cached.cache_clear()
        return code_digest("bench.a", root=tmp_path)

    return compute


def test_comments_docstrings_and_layout_do_not_change_the_digest(digest):
    other = '"""A module."""\nimport bench.b  # why\n\ndef f( x ):\n    "Other text."\n    # why\n    return (x + 1)\n'
    assert digest(a=other) == digest()


def test_docstrings_of_constants_do_not_change_the_digest(digest):
    described = 'VALUE = 1\n"""What it is."""\n'
    assert digest(b=described) == digest(b="VALUE = 1\n") != digest(b='VALUE = 1\nprint("What it is.")\n')


@pytest.mark.parametrize(
    "changed",
    [{"a": BASE.replace("x + 1", "x + 2")}, {"a": BASE.replace("f(x)", "f(x, y=0)")}, {"b": "VALUE = 2\n"}],
)
def test_imported_code_changes_the_digest(digest, changed):
    assert digest(**changed) != digest()


def test_unreachable_code_does_not_change_the_digest(digest):
    assert digest(c="VALUE = 3\n") == digest()


def test_imports_inside_functions_are_followed(digest):
    lazy = BASE + "\n\ndef g():\n    from bench import c\n\n    return c.VALUE\n"
    assert digest(a=lazy, c="VALUE = 3\n") != digest(a=lazy)


def test_each_part_of_the_project_has_a_digest():
    report, training = code_digest("bench.report.page"), code_digest("bench.train.loop.loop")
    assert len({report, training, code_digest()}) == 3
    assert all(len(value) == 64 for value in (report, training))


def test_templates_of_a_package_change_its_digest(digest, tmp_path):
    before = digest()
    (tmp_path / "bench/templates").mkdir()
    (tmp_path / "bench/templates/page.html").write_text("<p>")
    assert digest() != before
