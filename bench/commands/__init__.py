"""The commands of slim-bench by topic. Each imports its dependencies when called, so planning does not import torch."""
