"""Comparisons between methods: paired tests, verdicts on the claims, statistics."""
