"""Labels of scores for tables and figures. A label states metric, variant and number of images, but no protocol id."""

import re
from collections.abc import Sequence

from bench.report.read.names import metric_of

COUNT = re.compile(r"(?<=/)(?:fake|samples|white|test|halves)(\d+)(?=[-/]|$)")
"""Matches the number of generated images or test images in a protocol id."""


def image_count(protocol: str) -> int | None:
    """Return the number of scored images in a protocol id, or None if the score is not computed over images."""
    found = COUNT.search(protocol)
    return int(found[1]) if found else None


def score_label(metric: str, protocol: str) -> str:
    """Return the label of a score: `FID (clean-fid, n=500)`."""
    named = metric_of(metric)
    count = image_count(protocol)
    details = [*([named.variant] if named.variant else []), *([f"n={count}"] if count else [])]
    return f"{named.name} ({', '.join(details)})" if details else named.name


def label_of(protocol: str) -> str:
    """Return the label of a protocol id, whose first part is the metric."""
    return score_label(protocol.partition("/")[0], protocol)


def differing_parts(labels: Sequence[str], protocols: Sequence[str]) -> list[str]:
    """Return, for each label, the parts of its protocol id that are not in every protocol id with the same label.

    The text is empty if the label occurs with only one protocol id.
    """
    texts = []
    for label, protocol in zip(labels, protocols, strict=True):
        ids = {other for name, other in zip(labels, protocols, strict=True) if name == label and other}
        shared = set.intersection(*(set(other.split("/")) for other in ids)) if len(ids) > 1 and protocol else set()
        parts = [part for part in protocol.split("/") if part not in shared]
        texts.append((", ".join(parts) or "without the parts of the other protocols") if shared else "")
    return texts
