"""Measures throughput: a few real steps, scorings and preparations of every workload, with synthetic images."""
