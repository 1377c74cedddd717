"""tools/check_words.py finds the glossary's words in prose, prints file and line, and ignores code."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SPEC = importlib.util.spec_from_file_location("check_words", ROOT / "tools/check_words.py")
check_words = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(check_words)
WORDS = ["rival", "data set"]


def test_words_are_those_in_code_font_in_the_last_column():
    rows = ["| use | not |", "|---|---|", "| `this` | `rival`, foe |", "| that | `data set` (text) |"]
    table = "\n".join(["## Glossary", *rows, "## Next", "| a | `b` |"])
    assert check_words.glossary_words(table) == WORDS


def test_the_glossary_of_the_project_has_the_words_of_the_design():
    words = check_words.glossary_words((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    assert {"rival", "selection", "oracle", "instrument", "floor", "strip", "anew", "beside", "what is"} <= set(words)


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("a.py", '"""A rival."""\n', 1),
        ("a.py", "x = 1  # the Rival\n", 1),
        ("a.py", "x = 1\nraise ValueError(f'the rival {x}')\n", 2),
        ("a.py", "# every data\n# set\n", 1),
        ("a.py", "print('every data '\n      'set of images')\n", 1),
        ("a.md", "one\n\nevery data\nset\n", 3),
        ("a.html", "<p>{{ x.rival }}</p>\n<p>rival</p>\n", 2),
        ("a.smk", 'onerror:\n    print("a rival")\n', 2),
        ("a.yaml", "x: 1  # rival\n", 1),
        ("a.yaml", "title: the rival\n", 1),
    ],
)
def test_a_listed_word_in_prose_is_found(name, text, line):
    (hit,) = check_words.hits(name, text, WORDS)
    assert hit.startswith(f"{name}:{line}: ")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.py", "rival = row['rival']  # `rival`\n"),
        ("a.py", "x = f'of {rival} and'\n"),
        ("a.py", "x = 'the data', 'set of'\n"),
        ("a.md", "`rival` and [link](https://example.org/rival), unrivalled\n"),
        ("a.md", "```\nrival\n```\n"),
        ("a.yaml", "rival: {rival: 1, rival: 2}\n"),
        ("a.html", "<b class='rival'>{% if rival %}{{ rival }}{% endif %}</b>\n"),
        ("CONTRIBUTING.md", "# Text\n## Glossary\n| a | rival |\n"),
    ],
)
def test_code_and_the_glossary_are_ignored(name, text):
    assert list(check_words.hits(name, text, WORDS)) == []


def test_main_checks_the_help_of_every_subcommand_and_exits_1_on_a_hit(monkeypatch, capsys):
    monkeypatch.setattr(check_words, "CHECKED", ())
    monkeypatch.setattr(check_words, "glossary_words", lambda text: ["--accept-sha256 HEX", "sha256"])
    assert check_words.main([]) == 1
    assert "slim-bench fetch --help:" in capsys.readouterr().out
    monkeypatch.setattr(check_words, "glossary_words", lambda text: ["rivalry"])
    assert check_words.main([]) == 0
