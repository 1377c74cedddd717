"""The commands of slim-bench by topic. A command imports its modules when called, so planning imports no torch."""
