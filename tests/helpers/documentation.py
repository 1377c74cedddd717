"""What README.md and docs/ show: blocks of Python, and the lines that one is told to type, in the order of the page."""

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
"""What a span between backticks starts with if it is a line to type; of a block every line counts."""


@dataclass(frozen=True)
class Line:
    """`text` as it is printed, without its comment; `place` says where."""

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
    """Every line of the page's other blocks, and the spans that start with one of PROGRAMS."""
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


def fenced(page: Path, language: str) -> str:
    """The page's one block in ``` of that language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return found


def add_method(project: Path) -> None:
    """The first two steps of METHOD_PAGE: the file and the entry."""
    (project / "my_gates.py").write_text(fenced(METHOD_PAGE, "python"))
    with (project / "config/experiments.yaml").open("a") as file:
        file.write("\n" + fenced(METHOD_PAGE, "yaml"))


def commands(program: str) -> list[list[str]]:
    """The arguments of each line that starts with `program` and has some, each once."""
    found = [line.command for page in PAGES for line in lines(page)]
    return [shlex.split(text)[1:] for text in dict.fromkeys(found) if text.startswith(f"{program} ")]


def _blocks(page: Path) -> list[tuple[int, str]]:
    """(offset, text) of the fenced and the indented blocks."""
    matches = BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [(match.start(1), match[1]) if match[1] is not None else (match.start(2), match[2]) for match in matches]


def _is_python(block: str) -> bool:
    return re.match(r"\s*(?:from \S+ )?import ", block) is not None
