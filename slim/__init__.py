"""The skip-layer and same-layer SLIM modules (arXiv 2112.14804) and the networks that use them."""

from slim.same import LiteralSameLayerSLIM, SameLayerSLIM
from slim.skip import SkipLayerSLIM

__all__ = ["LiteralSameLayerSLIM", "SameLayerSLIM", "SkipLayerSLIM"]
