"""Runtime shared by data, training, evaluation and sampling: devices, processes, random streams, memory, images."""
