"""Benchmarks of speed and memory. Each ratio is measured by alternating both sides in one process.

Run `python -m benchmarks [NAMES] [--quick]`. A benchmark is a module bench_<name>.py with a function
`measure(quick: bool) -> dict`. The entry "targets" of the result is a list of rows from `benchmarks.timing.target`. All
other entries are copied to the JSON file.
"""
