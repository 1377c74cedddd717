"""The same computations written plainly: the reference of tests and the baseline of benchmarks."""
