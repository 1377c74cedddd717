"""Environment and CSS of the HTML templates."""

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bench.terminal import escaped


def environment() -> Environment:
    """Return the environment of all templates. It escapes HTML, and control characters of names."""
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
    return Markup((Path(__file__).parent / "templates" / "page.css").read_text(encoding="utf-8"))
