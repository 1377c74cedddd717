"""Datasets: catalogue -> fetch -> extract -> audit -> prepare -> datasets. Modules up to `prepare` do not import torch."""
