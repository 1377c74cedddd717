"""Speed and memory, each ratio measured side by side in one process: `python -m benchmarks [NAMES] [--quick]`.

A benchmark is a module bench_<name>.py with `measure(quick: bool) -> dict`. Its "targets" is a list of rows made by
`benchmarks.timing.target`; whatever else it returns goes into the JSON file as it is.
"""
