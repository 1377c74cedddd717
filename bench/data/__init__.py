"""Datasets: catalogue -> fetch -> extract -> audit -> prepare -> datasets. No step before `datasets` imports torch."""
