"""`make test-fast` runs the files of tests/fast.txt, which test every module of bench, slim and baselines."""

import ast

from tests.helpers import ROOT
from tests.unit.project.test_layers import imports, modules

OPTIONS, *FILES = (ROOT / "tests/fast.txt").read_text().splitlines()


def contains_code(text: str) -> bool:
    return any(not isinstance(node, ast.Expr) for node in ast.parse(text).body)


def test_every_module_has_a_fast_test_that_imports_it():
    known = modules("bench", "slim", "baselines")
    reached = set().union(*(imports(ROOT / file, known) for file in FILES))
    assert reached
    assert sorted(name for name in known.keys() - reached if contains_code(known[name].read_text())) == []


def test_the_list_is_sorted_and_its_files_are_tests():
    assert OPTIONS == "-mnot slow and not compiled"
    assert sorted(set(FILES)) == FILES
    assert all(file.startswith("tests/unit/") and (ROOT / file).is_file() for file in FILES)
    assert all("def test_" in (ROOT / file).read_text() for file in FILES)
