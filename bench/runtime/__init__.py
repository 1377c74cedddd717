"""Runtime functions for data, training, evaluation and sampling: devices, processes, random streams, memory, images."""
