"""Finds words of the glossary's "not" column in prose: python tools/check_words.py [PATH ...]

The glossary is the table in CONTRIBUTING.md, and the check covers its words in `code font`. Prose is every docstring,
comment and message of Python code, the help of every subcommand, and the text of other files except `code` and links.
Without PATH, the script checks everything in CHECKED. It prints each hit as PATH:LINE: word, and exits with code 1 if
there are hits.
"""

import io
import re
import sys
import token
import tokenize
from collections.abc import Iterable, Iterator
from itertools import accumulate
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("slim", "baselines", "reference", "bench", "benchmarks", "workflow", "tools", "config", "docs", ".github")
PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "CITATION.cff")
CHECKED = (*FOLDERS, *PAGES, "Makefile", ".ci/run", "dvc.yaml", "pyproject.toml")
SUFFIXES = {"", ".py", ".md", ".rst", ".html", ".yaml", ".yml", ".smk", ".sh", ".cff", ".toml"}
ALLOWED = (
    "Image Synthesis and Image Recognition",  # the paper's title
    "large scale visual recognition challenge",  # the title of ImageNet's paper
    "Scientific/Engineering :: Image Recognition",  # a classifier of the package index
    "checkpoint selection",
    "model selection",
)
KEY = re.compile(r"(?:^\s*|(?<=, )|(?<=\{))[\w-]+:", re.MULTILINE)  # a key of YAML
CODE = re.compile(r"```.*?```|``?[^`\n]+``?|https?://\S+|\{[{%].*?[}%]\}|</?[a-z][^<>]*>", re.DOTALL)
FIELD = re.compile(r"\{[^{}\n]*\}")  # a field of an f-string
QUOTES = re.compile("[\"']{3}|^[rbf]?[\"']|[\"']$")
GLOSSARY = re.compile(r"^## Glossary$.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)


def glossary_words(contributing: str) -> list[str]:
    """Return the words in code font in the last column of the glossary's table."""
    rows = [line for line in GLOSSARY.findall(contributing)[0].splitlines() if line.startswith("|")]
    return [word for row in rows for word in re.findall(r"`([^`]+)`", row.split("|")[2])]


def blank(text: str) -> str:
    """Replace every character except line breaks by `;`, which keeps line numbers and separates phrases."""
    return re.sub(r"[^\n]", ";", text)


def prose_of(name: str, text: str) -> str:
    """Return the text with everything except prose blanked."""
    if name.endswith(".py"):
        text = FIELD.sub(lambda found: blank(found[0]), python_prose(text))
    if name.endswith((".yaml", ".yml")):
        text = KEY.sub(lambda found: blank(found[0]), text)
    if name == "CONTRIBUTING.md":
        text = GLOSSARY.sub(lambda found: blank(found[0]), text)
    for pattern in (phrases(ALLOWED), CODE):
        text = pattern.sub(lambda found: blank(found[0]), text)
    return text.replace("#", " ")


def python_prose(source: str) -> str:
    """Return `source` with everything blanked except comments and strings that contain a space.

    These strings are docstrings and messages. Other strings are names.
    """
    starts = [0, *accumulate(map(len, io.StringIO(source)))]
    always = {token.COMMENT, getattr(token, "FSTRING_MIDDLE", token.COMMENT)}  # Python 3.12 splits f-strings
    result, done = [], 0
    for part in tokenize.generate_tokens(io.StringIO(source).readline):
        if part.type in always or (part.type == token.STRING and " " in part.string):
            start, end = (starts[row - 1] + column for row, column in (part.start, part.end))
            between = source[done:start]
            result.append(between if between.isspace() else blank(between))
            result.append(QUOTES.sub(lambda found: " " * len(found[0]), source[start:end]))
            done = end
    return "".join([*result, blank(source[done:])])


def phrases(words: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern that matches whole phrases, ignoring case. A phrase may continue on the next line."""
    pattern = "|".join(re.escape(word).replace(r"\ ", r"\s+") for word in sorted(words, key=len, reverse=True))
    return re.compile(rf"(?<![\w.-])(?:{pattern})(?![\w-])", re.IGNORECASE)


def hits(name: str, text: str, words: list[str]) -> Iterator[str]:
    """Yield `name:line: word` for every word found."""
    for found in phrases(words).finditer(prose_of(name, text)):
        yield f"{name}:{text.count(chr(10), 0, found.start()) + 1}: {' '.join(found[0].split())}"


def help_texts() -> Iterator[tuple[str, str]]:
    """Yield (command, its --help) for slim-bench and every subcommand."""
    sys.path.insert(0, str(ROOT))
    from bench.cli import build_parser

    parser = build_parser()
    yield "slim-bench --help", parser.format_help()
    for name, command in parser._subparsers._group_actions[0].choices.items():
        yield f"slim-bench {name} --help", command.format_help()


def text_files(paths: list[str]) -> Iterator[Path]:
    for path in map(Path, paths):
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and file.suffix in SUFFIXES:
                yield file


def main(paths: list[str]) -> int:
    words = glossary_words((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    files = text_files(paths or [str(ROOT / name) for name in CHECKED])
    texts = [(str(file.resolve().relative_to(ROOT)), file.read_text(encoding="utf-8")) for file in files]
    texts += [] if paths else help_texts()
    found = [hit for name, text in texts for hit in hits(name, text, words)]
    print(*found, f"{len(found)} words to replace in {len(texts)} texts", sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
