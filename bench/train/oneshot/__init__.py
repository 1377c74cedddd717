"""One-shot synthesis: training of SinGAN, one pyramid scale after another."""
