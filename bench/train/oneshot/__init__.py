"""One-shot synthesis: SinGAN's training, scale by scale."""
