"""SLIM, the skip-layer and the same-layer inception module (arXiv 2112.14804), and the networks that carry it."""

from slim.same import LiteralSameLayerSLIM, SameLayerSLIM
from slim.skip import SkipLayerSLIM

__all__ = ["LiteralSameLayerSLIM", "SameLayerSLIM", "SkipLayerSLIM"]
