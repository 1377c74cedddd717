"""What data, training, evaluation and sampling share: devices, processes, random streams, memory, images."""
