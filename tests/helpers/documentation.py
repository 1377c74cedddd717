"""Reads README.md and docs/: Python blocks and documented command lines, in page order."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from tests.helpers import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
METHOD_PAGE = ROOT / "docs/how-to/add-a-method.md"
BLOCK = re.compile(r"^```\w*\n((?:.*\n)*?)```$|((?:^ {4,}\S.*\n|^\n(?= {4}))+)", re.MULTILINE)
ASSIGNMENTS = re.compile(r"((?:[A-Z_]+=\S* )*)(.*)")
PROGRAMS = "slim-bench|snakemake|make|torchrun|pytest|python3?|dvc|source(?= )|pip|uv|git|bash|docker|\\.venv/bin/\\w+"
"""Programs whose name makes a span between backticks a command line. In blocks every line is one."""


@dataclass(frozen=True)
class Line:
    """A documented line without its comment. `place` is its page and line number."""

    page: Path
    number: int
    text: str

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.number}"

    @property
    def environment(self) -> dict[str, str]:
        return dict(pair.split("=", 1) for pair in ASSIGNMENTS.fullmatch(self.text)[1].split())

    @property
    def command(self) -> str:
        return ASSIGNMENTS.fullmatch(self.text)[2]


def python_blocks(page: Path) -> list[str]:
    return [block for _, block in _blocks(page) if _is_python(block)]


def lines(page: Path) -> list[Line]:
    """Return every line of the page's other blocks, and the spans that start with one of PROGRAMS."""
    text = page.read_text(encoding="utf-8")
    found = []
    for start, block in _blocks(page):
        rows = block.split("\n") if not _is_python(block) else []
        found += [(text.count("\n", 0, start) + 1 + i, row.strip()) for i, row in enumerate(rows) if row.strip()]
    prose = BLOCK.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
    for match in re.finditer(r"`([^`]+)`", prose):
        span = " ".join(match[1].split())
        if re.match(rf"(?:[A-Z_]+=\S* )*(?:{PROGRAMS})(?: |$)", span):
            found.append((text.count("\n", 0, match.start()) + 1, span))
    return [Line(page, number, re.sub(r"\s+# .*", "", row)) for number, row in sorted(found)]


def fenced_block(page: Path, language: str) -> str:
    """Return the only fenced block of a language in the page."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return found


def add_method(project: Path) -> None:
    """Apply the first two steps of METHOD_PAGE, the file and the entry."""
    (project / "my_gates.py").write_text(fenced_block(METHOD_PAGE, "python"))
    with (project / "config/experiments.yaml").open("a") as file:
        file.write("\n" + fenced_block(METHOD_PAGE, "yaml"))


def commands(program: str) -> list[list[str]]:
    """Return the distinct arguments of all lines that start with `program` and have arguments."""
    found = [line.command for page in PAGES for line in lines(page)]
    return [shlex.split(text)[1:] for text in dict.fromkeys(found) if text.startswith(f"{program} ")]


def _blocks(page: Path) -> list[tuple[int, str]]:
    """Return (offset, text) of the fenced and indented blocks."""
    matches = BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [(match.start(1), match[1]) if match[1] is not None else (match.start(2), match[2]) for match in matches]


def _is_python(block: str) -> bool:
    return re.match(r"\s*(?:from \S+ )?import ", block) is not None
