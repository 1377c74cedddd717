"""Escapes terminal and log output, because names, reasons and paths from files may contain control characters."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters except tab and line feed, bidirectional formatting characters, and surrogates."""
BREAKS = re.compile("[\t\n]")


def escaped(text: str) -> str:
    """Return `text` with control characters written as \\x1b or \\u202e, and non-UTF-8 bytes of names as \\xff."""
    return CONTROL.sub(_escape, text)


def one_line(value: Any) -> str:
    """Return `value` as one line of escaped text, in which tabs and line breaks are also escaped."""
    return BREAKS.sub(_escape, escaped(str(value)))


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    if 0xDC80 <= code <= 0xDCFF:  # Python represents an undecodable byte of a file name as a surrogate
        code -= 0xDC00
    return {9: "\\t", 10: "\\n", 13: "\\r"}.get(code, f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")


class EscapedOutput:
    """Stream that escapes its output, including characters that its encoding does not support."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def write(self, text: str) -> int:
        start = "\r" if text.startswith("\r") and self._stream.isatty() else ""  # a progress bar redraws its line
        encoding = self._stream.encoding or "utf-8"
        shown = escaped(text[len(start) :]).encode(encoding, "backslashreplace").decode(encoding)
        self._stream.write(start + shown)
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def escaped_output() -> Iterator[None]:
    """Escape everything printed within the block."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (EscapedOutput(stream) for stream in before)  # type: ignore[assignment]
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
