"""Builds tables, figures and pages of the report from results/{scale}/scores.csv. The package does not import torch."""
