"""LaTeX tables: escaped, with caption and label, and compiled if a TeX is installed."""

import shutil
import subprocess

import pytest

from bench.report.tables.latex_text import latex_text
from bench.report.tables.table import Head, Table, TableCell, latex, write_tables

ENGINE = next((name for name in ("pdflatex", "tectonic", "xelatex", "lualatex") if shutil.which(name)), None)
HOSTILE = "[a]* & 50 % of $x_1$ #{~^} \\input{x} <é, Ł, ê, 日本, 😀, ½ m²> | \"q\" `r` 'ţ' ą\n\n% \x1b"
ROWS = (
    (TableCell("[first"), TableCell("1.0 ± 0.2", "SD 0.1", count="3 seeds", bold=True)),
    (TableCell("* second"), TableCell("2.0", count="3 seeds")),
    (TableCell(HOSTILE, HOSTILE), TableCell("–")),
)
TABLE = Table(
    "50 % of a_b\n\\evil", (Head("name", numeric=False), Head("FID ↓", "fid_x/px64/fake500")), ROWS, "A note & more."
)


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a_b & 50 % #1 {x} $y$", r"a\_b \& 50 \% \#1 \{x\} \$y\$"),
        ("\\~^", r"\textbackslash{}\textasciitilde{}\textasciicircum{}"),
        ("é ç Š ï", r"\'{e} \c{c} \v{S} " + '\\"{\\i}'),
        ("日 😀", "U+65E5 U+1F600"),
        ("a\nb\tc", "a b c"),
        ("m²", "m2"),
    ],
)
def test_text_is_escaped(text, escaped):
    assert latex_text(text) == escaped


def test_every_character_becomes_printable_ascii():
    text = latex_text("".join(map(chr, range(1, 0x2600))))
    assert text.isascii() and text.isprintable()


def test_a_table_has_caption_label_protocol_and_n():
    lines = latex(TABLE, "tab:t").splitlines()
    (caption,) = [line for line in lines if line.startswith(r"\caption{")]
    assert r"fid\_x/\allowbreak{}px64/\allowbreak{}fake500" in caption and "n = 3 seeds" in caption
    assert "means" in caption and "95" in caption and "bold" in caption and r"A note \& more." in caption
    assert lines.index(r"\label{tab:t}") == lines.index(caption) + 1
    assert r"{[}first & \textbf{1.0 $\pm$ 0.2} (SD 0.1) \\" in lines and r"{*} second & 2.0 \\" in lines
    assert not [line for line in lines[1:] if line.startswith("%")]


def test_labels_are_distinct(tmp_path):
    write_tables(tmp_path / "few", [TABLE, TABLE, Table("other", (Head("a"),), ())])
    text = (tmp_path / "few.tex").read_text(encoding="utf-8")
    labels = [line for line in text.splitlines() if line.startswith(r"\label")]
    assert len(set(labels)) == 3 and labels[2] == r"\label{tab:few-other}"


@pytest.mark.skipif(ENGINE is None, reason="no TeX is installed")
def test_the_tables_compile(tmp_path):
    write_tables(tmp_path / "t", [TABLE])
    document = r"\documentclass{article}\usepackage{booktabs}\begin{document}\input{t.tex}\end{document}"
    (tmp_path / "main.tex").write_text(document)
    options = [] if ENGINE == "tectonic" else ["-halt-on-error", "-interaction=nonstopmode"]
    done = subprocess.run([ENGINE, *options, "main.tex"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "main.pdf").stat().st_size > 0
