"""Kernels that several networks use: spectral norm, resizing, convolution after upsampling."""
