"""Describes protocol ids as text, for the pages of the runs."""

import re
from collections.abc import Callable

WORDS: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (r"px(\d+)x(\d+)", lambda m: f"images of {m[1]} x {m[2]} px"),
    (r"px(\d+)", lambda m: f"images of {m[1]} px"),
    (r"real(\d+)-all", lambda m: f"all {m[1]} real images"),
    (r"real(\d+)", lambda m: f"{m[1]} real images"),
    (r"fake(\d+)", lambda m: f"{m[1]} generated images"),
    (r"samples(\d+)", lambda m: f"{m[1]} generated samples"),
    (r"white(\d+)", lambda m: f"{m[1]} white images in place of generated ones"),
    (r"halves(\d+)-(\d+)", lambda m: f"{m[1]} real images compared with {m[2]} other real images"),
    (r"test(\d+)", lambda m: f"{m[1]} test images"),
    (r"ema([\d.]+)-warmup", lambda m: f"weights averaged with decay {m[1]} after a warm-up"),
    (r"ema([\d.]+)", lambda m: f"weights averaged with decay {m[1]}"),
    (r"bn-train-b(\d+)", lambda m: f"batch norm with the statistics of batches of {m[1]}"),
    (r"bn-eval", lambda m: "batch norm with running statistics"),
    (r"pool(\d+)", lambda m: f"{m[1]} pooled features"),
    (r"efflite0-v1", lambda m: "features of EfficientNet-Lite0"),
    (r"inception-tf2015", lambda m: "features of Inception v3 (TensorFlow, 2015)"),
    (r"inception-ptfid", lambda m: "features of Inception v3 (pytorch-fid)"),
    (r"inception-torchvision-v1", lambda m: "features of Inception v3 (torchvision)"),
    (r"resize(\d+)-bicubic", lambda m: f"bicubic resize to {m[1]} px"),
    (r"cleanfid-resize(\d+)", lambda m: f"anti-aliased resize to {m[1]} px, as in clean-fid"),
    (r"pil-bilinear(\d+)", lambda m: f"bilinear resize to {m[1]} px with PIL"),
    (r"fake-nearest(\d+)", lambda m: f"generated images resized to {m[1]} px by nearest neighbour"),
    (r"poly3-subsets(\d+)x(\d+)", lambda m: f"cubic polynomial kernel over {m[1]} subsets of {m[2]} images"),
    (r"k(\d+)", lambda m: f"{m[1]} nearest neighbours"),
    (r"scales(\d+)", lambda m: f"{m[1]} scales"),
    (r"bins(\d+)", lambda m: f"{m[1]} confidence bins"),
    (r"whole(\d+)", lambda m: f"whole images of {m[1]} px"),
    (
        r"centre-crop([\d.]+)-bilinear(\d+)",
        lambda m: f"centre crop of {m[1]} of the side, bilinear resize to {m[2]} px",
    ),
    (r"batch(\d+)", lambda m: f"batches of {m[1]}"),
    (r"last", lambda m: "last weights"),
    (r"best-(.+)", lambda m: f"best weights ({m[1].replace('-', ' ')})"),
    (r"folded-export", lambda m: "exported network, with spectral norm folded into the weights"),
    (r"conv-linear-products", lambda m: "multiply-accumulates of convolutions, linear layers and products"),
    (r"float32-eager", lambda m: "float32 without compilation"),
    (r"no-resize", lambda m: "no resize"),
)
"""Regular expressions for whole parts of a protocol id, and functions that return the text for a match."""


def describe_protocol(protocol: str) -> str:
    """Return a phrase for each part of a protocol id that follows the metric.

    In a part that WORDS does not describe, hyphens become spaces.
    """
    return ", ".join(_phrase(part) for part in protocol.split("/")[1:]) or "no further details"


def _phrase(part: str) -> str:
    for pattern, text in WORDS:
        match = re.fullmatch(pattern, part)
        if match:
            return text(match)
    return part.replace("-", " ")
