"""Tests the claims about GPUs in parts of less than eight minutes: python -m benchmarks.gpu_proof [PARTS] [--quick].

A part is a module with a function `measure(record, size)`. It runs in a separate process and updates its result file
after every measurement. A second start continues an interrupted part. A missed target is a result, not an error.
"""
