"""Datasets: catalogue -> fetch -> extract -> audit -> prepare -> datasets. Only `datasets` imports torch."""
