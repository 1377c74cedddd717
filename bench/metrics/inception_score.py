"""Inception score, the exponential of the mean divergence KL(p(y|x) || p(y)) of class probabilities."""

import numpy as np
from scipy.special import log_softmax

from bench.metrics.checks import check_features


def inception_score(logits: np.ndarray, *, splits: int = 1) -> tuple[float, float]:
    """Return the mean and standard deviation of the score over `splits` parts of logits [N, classes].

    A single part is suitable for a small number of images.
    """
    logits = check_features(logits, "logits").astype(np.float64, copy=False)
    scores = []
    for part in np.array_split(log_softmax(logits, axis=1), splits):
        probabilities = np.exp(part)
        marginal = np.log(probabilities.mean(axis=0, keepdims=True))
        scores.append(np.exp((probabilities * (part - marginal)).sum(axis=1).mean()))
    return float(np.mean(scores)), float(np.std(scores))
