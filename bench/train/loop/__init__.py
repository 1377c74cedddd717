"""Training loop shared by all engines: resume, stop on signal, checkpoints, checks for NaN, history, run folder."""
