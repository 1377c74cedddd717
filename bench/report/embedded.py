"""Embeds plots as SVG and images as WebP in HTML pages."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup
from PIL import Image

from bench.report.figures.style import inline_svg


@dataclass(frozen=True)
class CaptionedFigure:
    """A plot or an image with its caption, as HTML. `files`: (format, link from the report page) of each file."""

    caption: str
    body: Markup
    files: tuple[tuple[str, str], ...] = ()


def vector(path: Path, name: str, caption: str) -> Markup:
    """Return the content of an SVG file in the page's colours, with ids that begin with `name`."""
    svg, width = inline_svg(path.read_text(encoding="utf-8"), name)
    opening = f'<svg role="img" aria-label="{Markup.escape(caption)}" style="--width: {width:.0f}px"'
    return Markup(opening + svg.removeprefix("<svg"))


def raster(image: Image.Image, text: str, quality: int = 82) -> Markup:
    """Return an image as HTML, with `text` as its alternative text. WebP needs about a quarter of the bytes of PNG."""
    content = io.BytesIO()
    image.save(content, "WEBP", quality=quality, method=2)
    data = base64.b64encode(content.getvalue()).decode()
    tag = '<img src="data:image/webp;base64,{}" alt="{}" width="{}" height="{}" style="--width: {}px">'
    return Markup(tag).format(data, text, *image.size, image.width)


def raster_file(path: Path, text: str) -> Markup:
    with Image.open(path) as image:
        return raster(image, text)
