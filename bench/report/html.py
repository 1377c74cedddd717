"""Jinja environment, CSS and script of the HTML pages."""

import base64
import hashlib
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bench.terminal import escaped

TEMPLATES = Path(__file__).parent / "templates"


def environment() -> Environment:
    """Return the Jinja environment of all templates. The environment escapes HTML syntax and control characters."""
    return Environment(
        loader=PackageLoader("bench.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=lambda value: escaped(value) if type(value) is str else value,  # Markup is already escaped
    )


def page_style() -> Markup:
    """Return the CSS of all pages."""
    return Markup(
        "\n".join((TEMPLATES / name).read_text(encoding="utf-8") for name in ("page.css", "parts.css", "print.css"))
    )


def page_script() -> tuple[Markup, Markup]:
    """Return the script of the page, and the hash of the script as a source expression of the Content-Security-Policy.

    The policy allows no other script.
    """
    text = "\n" + (TEMPLATES / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return Markup(text), Markup(f"'sha256-{digest}'")
