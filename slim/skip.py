"""Skip-layer SLIM, a gate that re-weights a high-resolution map by a low-resolution map, separately at every position.

The low-resolution map x_s [B, C_low, h, w] is split along channels into G groups of width c = C_low / G. The hidden
width is r = c // reduction. Each group g has its own style s_g in R^C_high (pool, linear, BN, ReLU, linear) and its own
mask m_g over the h x w positions (1x1 conv, BN, ReLU; `steps` times 3x3 conv with dilation, BN, ReLU; 1x1 conv;
sigmoid).

    w(p, k) = 1 + sum_g m_g(p) s_g(k) / (sum_g m_g(p) + 1e-6),      out = x_t * nearest_upsample(w)

Source: arXiv 2112.14804 (v1); the constants are from the authors' release. w is computed at h x w. Masks upsampled to
H x W would give the same values, because nearest upsampling commutes with pointwise arithmetic. The groups run as
grouped convolutions and batched products, but every layer of every group has its own spectral norm.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slim._branches import GroupedLinear, Mask, Style
from slim._modulate import modulate
from slim._spectral import normalise_groups

EPSILON = 1e-6


class Attention(NamedTuple):
    """Masks [B, G, h, w], in (0, 1), and styles [B, G, C_high] of a batch."""

    masks: Tensor
    styles: Tensor


class SkipLayerSLIM(nn.Module):
    """Gate: low [B, C_low, h, w], high [B, C_high, H, W] -> [B, C_high, H, W], for any two sizes.

    residual: add the 1 in w. normalise: divide by the sum of the masks. style, mask: False replaces s_g or m_g by 1.
    shared: all groups share one style branch and one mask branch. mask_noise: add one Gaussian map per image, times a
    learned scalar (initially 0), to the mask logits. spectral_norm, style_norm (BN in the style branch): both off in
    SinGAN. Raises ValueError for options that make w constant over positions, unless `allow_constant` is set.
    """

    def __init__(
        self,
        *,
        low_channels: int,
        high_channels: int,
        groups: int = 4,
        reduction: int = 16,
        dilation: int = 2,
        steps: int = 2,
        residual: bool = True,
        normalise: bool = True,
        mask_noise: bool = False,
        style: bool = True,
        mask: bool = True,
        shared: bool = False,
        spectral_norm: bool = True,
        style_norm: bool = True,
        allow_constant: bool = False,
    ) -> None:
        super().__init__()
        hidden = _hidden_width(low_channels, groups, reduction)
        if min(high_channels, dilation) < 1 or steps < 0:
            rule = "high_channels and dilation must be at least 1, steps at least 0"
            raise ValueError(f"{rule}: got {high_channels}, {dilation}, {steps}")
        _check_variant(groups, normalise, style, mask, mask_noise, allow_constant)
        self.low_channels, self.high_channels, self.groups = low_channels, high_channels, groups
        self.residual, self.normalise = residual, normalise
        self.branches = 1 if shared else groups
        widths = (low_channels // groups, hidden)
        self.style = Style(self.branches, widths, high_channels, style_norm) if style else None
        self.mask = Mask(self.branches, widths, steps, dilation) if mask else None
        self.noise_weight = nn.Parameter(torch.zeros(1)) if mask_noise else None
        if spectral_norm:
            for layer in [m for m in self.modules() if isinstance(m, (nn.Conv2d, GroupedLinear))]:
                normalise_groups(layer, self.branches)

    def extra_repr(self) -> str:
        names = ("low_channels", "high_channels", "groups", "residual", "normalise")
        return ", ".join(f"{name}={getattr(self, name)}" for name in names)

    def forward(self, low: Tensor, high: Tensor, noise: Tensor | None = None) -> Tensor:
        """Return the gated map. `noise` [B, 1, h, w] replaces the random noise map (only with mask_noise)."""
        self._check(low, high)
        masks = self._masks(low, noise)  # [B, G, h, w]
        if masks.shape[2] * masks.shape[3] > high.shape[2] * high.shape[3]:  # in SinGAN the target is the smaller map
            masks = F.interpolate(masks, size=high.shape[2:], mode="nearest")
        return modulate(high, self._gate(self._styles(low), masks))

    def attention(self, low: Tensor, noise: Tensor | None = None) -> Attention:
        """Return the masks and styles from which `forward` computes the gate. `low` is [B, C_low, h, w].

        With mask_noise and without `noise`, the masks contain new random noise.
        """
        return Attention(self._masks(low, noise), self._styles(low))

    def _check(self, low: Tensor, high: Tensor) -> None:
        channels = (low.shape[1], high.shape[1])
        if low.ndim != 4 or high.ndim != 4 or channels != (self.low_channels, self.high_channels):
            raise ValueError(
                f"expected low [B, {self.low_channels}, h, w] and high [B, {self.high_channels}, H, W], "
                f"got {list(low.shape)} and {list(high.shape)}"
            )
        if low.shape[0] != high.shape[0]:
            raise ValueError(f"low and high must have equal batch sizes, got {low.shape[0]} and {high.shape[0]}")

    def _styles(self, low: Tensor) -> Tensor:
        """Return the styles [B, G, C_high]."""
        if self.style is None:
            return low.new_ones(low.shape[0], self.groups, self.high_channels)
        pooled = low.mean((2, 3)).reshape(-1, self.branches, low.shape[1] // self.groups)
        return self.style(pooled).reshape(low.shape[0], self.groups, self.high_channels)

    def _masks(self, low: Tensor, noise: Tensor | None) -> Tensor:
        """Return the masks [B, G, h, w] in (0, 1)."""
        batch, channels, *size = low.shape
        if self.mask is None:
            return low.new_ones(batch, self.groups, *size)
        logits = self.mask(low.reshape(-1, self.branches * channels // self.groups, *size))
        logits = logits.reshape(batch, self.groups, *size)
        if self.noise_weight is not None:
            if noise is None:
                noise = torch.randn(batch, 1, *size, dtype=logits.dtype, device=logits.device)
            logits = logits + self.noise_weight.to(logits.dtype) * noise
        return torch.sigmoid(logits)

    def _gate(self, styles: Tensor, masks: Tensor) -> Tensor:
        """Return w [B, C_high, h, w] in float32 or higher precision. The sum over G is a batched matrix product."""
        with torch.autocast(masks.device.type, enabled=False):
            dtype = torch.promote_types(masks.dtype, torch.float32)
            styles, masks = styles.to(dtype), masks.to(dtype)
            if self.normalise:
                masks = masks / (masks.sum(1, keepdim=True) + EPSILON)
            gate = torch.bmm(styles.transpose(1, 2), masks.flatten(2)).unflatten(2, masks.shape[2:])
            return 1 + gate if self.residual else gate


def _hidden_width(low_channels: int, groups: int, reduction: int) -> int:
    if groups < 1 or reduction < 1 or low_channels < 1 or low_channels % groups:
        raise ValueError(
            "low_channels must be a positive multiple of groups, and groups and reduction at least 1, "
            f"got {low_channels}, {groups}, {reduction}"
        )
    hidden = low_channels // groups // reduction
    if not hidden:
        raise ValueError(
            "the hidden width low_channels / groups // reduction must be at least 1, "
            f"got {low_channels} / {groups} // {reduction} = 0"
        )
    return hidden


def _check_variant(
    groups: int, normalise: bool, style: bool, mask: bool, mask_noise: bool, allow_constant: bool
) -> None:
    if not style and not mask:
        raise ValueError("style and mask must not both be False, because the gate would have no parameters")
    if mask_noise and not mask:
        raise ValueError("mask_noise=True needs mask=True")
    constant = not mask or (normalise and (groups == 1 or not style))
    if constant and not allow_constant:
        raise ValueError(
            f"groups={groups}, normalise={normalise}, style={style}, mask={mask} make the gate constant over "
            "positions; set allow_constant=True to permit it, or normalise=False for groups=1 or style=False"
        )
