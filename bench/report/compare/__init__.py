"""Comparisons between experiments: paired tests, verdicts on the claims, statistics."""
