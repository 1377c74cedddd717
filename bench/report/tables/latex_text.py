"""Escapes text for LaTeX. The result needs no package and compiles with pdfTeX, whose fonts lack most of Unicode."""

import unicodedata

SPECIAL = {
    **{"&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "|": r"\textbar{}"},
    **{"<": r"$<$", ">": r"$>$", '"': r"\char34{}", "`": r"\char96{}"},
    **{"±": r"$\pm$", "−": "$-$", "×": r"$\times$", "≥": r"$\geq$", "≤": r"$\leq$", "≈": r"$\approx$"},
    **{"↓": r"$\downarrow$", "↑": r"$\uparrow$", "→": r"$\rightarrow$", "←": r"$\leftarrow$", "·": r"$\cdot$"},
    **{"…": r"\dots{}", "–": "--", "—": "---", "‘": "`", "’": "'", "“": "``", "”": "''", "°": r"$^{\circ}$"},
    **{"µ": r"$\mu$", "μ": r"$\mu$", "α": r"$\alpha$", "β": r"$\beta$", "σ": r"$\sigma$", "Δ": r"$\Delta$"},
    **{
        "ß": r"\ss{}",
        "æ": r"\ae{}",
        "Æ": r"\AE{}",
        "ø": r"\o{}",
        "Ø": r"\O{}",
        "œ": r"\oe{}",
        "ł": r"\l{}",
        "Ł": r"\L{}",
    },
    # LaTeX would read such a character at the beginning of a row as an argument of the line break before the row
    **{"[": "{[}", "]": "{]}", "*": "{*}"},
}
ACCENTS = {
    **{"\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u", "\u0307": "."},
    **{"\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0327": "c"},
}
"""LaTeX command of each combining accent."""


def latex_text(text: str) -> str:
    """Return `text` escaped. A character that pdfTeX's fonts lack becomes its code point, such as `U+65E5`."""
    return "".join(map(_escaped, " ".join(text.split())))


def _escaped(char: str) -> str:
    if char in SPECIAL:
        return SPECIAL[char]
    if char.isascii():
        return char if char.isprintable() else ""
    decomposed = unicodedata.normalize("NFKD", char)
    base, marks = decomposed[0], decomposed[1:]
    if not base.isascii() or any(mark not in ACCENTS and not mark.isascii() for mark in marks):
        return f"U+{ord(char):04X}"
    if len(marks) == 1 and marks[0] in ACCENTS:
        letter = {"i": r"\i", "j": r"\j"}.get(base, base)
        return rf"\{ACCENTS[marks[0]]}{{{letter}}}"
    return "".join(_escaped(part) for part in decomposed if part.isascii())
