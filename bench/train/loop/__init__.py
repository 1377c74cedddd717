"""Training loop shared by all engines: resume, stop on signal, checkpoints, finite checks, history, run folder."""
