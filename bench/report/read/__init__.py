"""What the report reads: scores of all runs, the claims and settings, names and roles."""
