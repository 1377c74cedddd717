"""Few-shot synthesis: FastGAN's training."""
