"""Comparisons between methods: paired differences, claims, statistics."""
