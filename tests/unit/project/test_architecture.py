"""docs/architecture.md lists every package and only existing paths. docs/README.md links to every page."""

import re

from tests.helpers import ROOT

TEXT = (ROOT / "docs/architecture.md").read_text()
PACKAGES = ("slim", "baselines", "reference", "bench", "benchmarks")


def test_every_package_is_named():
    found = {
        path.parent.relative_to(ROOT).as_posix() for name in PACKAGES for path in (ROOT / name).rglob("__init__.py")
    }
    assert found == set(re.findall(r"^\| `([\w/]+)` \|", TEXT, re.MULTILINE))


def test_every_path_exists():
    paths = [text for text in re.findall(r"`([\w./-]+)`", TEXT) if "/" in text]
    assert len(paths) > 20 and not [path for path in paths if not (ROOT / path).exists()]


def test_the_index_links_every_page():
    docs = ROOT / "docs"
    linked = set(re.findall(r"\]\(([^)#]+)\)", (docs / "README.md").read_text()))
    pages = {path.relative_to(docs).as_posix() for path in docs.rglob("*.md")} - {"README.md"}
    assert pages <= linked
