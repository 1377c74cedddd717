"""The loop that all engines share: resume, stop on signal, checkpoints, guards, history, the finished folder."""
