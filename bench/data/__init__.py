"""Datasets: catalogue -> fetch -> extract -> audit -> prepare -> datasets. None before `datasets` imports torch."""
