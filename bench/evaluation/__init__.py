"""What is measured on a finished run, task by task; `bench.evaluate` is the entry."""
