"""Classification: supervised training in one or several processes."""
