"""Metrics: features, distances between sets of images, similarities between images, accuracy, complexity.

Each module computes one quantity from arrays or tensors and does not depend on runs. `bench.evaluate` applies the
modules to runs and folders.
"""
