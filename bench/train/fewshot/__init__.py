"""Few-shot synthesis: training of FastGAN."""
