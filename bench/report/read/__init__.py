"""Inputs of the report: scores of all runs, claims and settings, labels and roles."""
