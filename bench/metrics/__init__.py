"""Numbers: features, distances between sets of images, similarities between images, accuracy, complexity.

Each module computes one thing from arrays or tensors and knows nothing of runs; `bench.evaluate` puts them together.
"""
