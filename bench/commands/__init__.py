"""The commands of slim-bench by topic. Each imports what it needs when it is called: planning needs no torch."""
