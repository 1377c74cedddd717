"""Operations used by several networks: spectral norm, resizing, convolution after upsampling."""
