"""Classification: supervised training, in one process or several."""
