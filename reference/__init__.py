"""Reference implementations of the networks and training loops, used by tests and benchmarks."""
