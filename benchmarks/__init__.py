"""Benchmarks of speed and memory. The two implementations whose times are compared run alternately in one process.

Run `python -m benchmarks [NAMES] [--quick]`. A benchmark is a module bench_<name>.py with a function
`measure(quick: bool) -> dict`. The entry "targets" of the result is a list of rows from `benchmarks.timing.target`. All
other entries are copied to the JSON file.
"""
