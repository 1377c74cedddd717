"""Properties that every module and network has to have, as functions that assert; tests call them over their lists."""

import copy
from collections.abc import Collection, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

SLIM_FEEDS_NORM = ("style.fc1.bias", "mask.0.bias", "mask.3.bias", "mask.6.bias")
"""Biases of a skip-layer gate in front of a batch norm: it takes the mean away, so their gradient is zero. Computed, it
is zero or rounding, by the processor."""


def tensors_in(value: object) -> list[Tensor]:
    """All tensors of an output, whatever tuple it comes in."""
    if isinstance(value, Tensor):
        return [value]
    return [tensor for part in value for tensor in tensors_in(part)]


def error(value: Tensor, reference: Tensor) -> float:
    """max|a-b| / max|b|; infinite for another shape or a NaN."""
    if value.shape != reference.shape or not torch.isfinite(value).all():
        return float("inf")
    reference = reference.detach().double()
    return ((value.detach().double() - reference).abs().max() / reference.abs().max().clamp_min(1e-30)).item()


def outputs(module: nn.Module, inputs: Sequence[Tensor], seed: int = 0) -> list[Tensor]:
    """One forward with the global stream set: noise layers draw the same maps each time."""
    torch.manual_seed(seed)
    return tensors_in(module(*inputs))


def check_gradients(module: nn.Module, inputs: Sequence[Tensor], feeds_norm: Collection[str] = ()) -> None:
    """A gradient on every parameter: present, finite, above 1e-6 of the largest.

    `feeds_norm` names biases in front of a batch norm, which takes their effect away.
    """
    module.train().zero_grad()
    weights = torch.Generator().manual_seed(1)
    sum((out * torch.randn(out.shape, generator=weights)).sum() for out in outputs(module, inputs)).backward()
    gradients = {name: p.grad for name, p in module.named_parameters()}
    assert all(g is not None for g in gradients.values()), [n for n, g in gradients.items() if g is None]
    sizes = {name: gradient.abs().max().item() for name, gradient in gradients.items()}
    largest = max(sizes.values())
    assert torch.isfinite(torch.tensor(list(sizes.values()))).all()
    assert set(feeds_norm) <= set(sizes)
    assert not [name for name, s in sizes.items() if s < 1e-6 * largest and name not in feeds_norm], sizes


def check_batch_independence(module: nn.Module, inputs: Sequence[Tensor], tolerance: float = 1e-5) -> None:
    """In evaluation mode an image does not depend on its neighbours in the batch."""
    module.eval()
    with torch.no_grad():
        whole = outputs(module, inputs)
        first = outputs(module, [value[:1] for value in inputs])
    assert all(error(a, b[:1]) < tolerance for a, b in zip(first, whole, strict=True))


def check_channels_last(module: nn.Module, inputs: Sequence[Tensor], tolerance: float = 1e-5) -> None:
    """Same values and same input gradients in both layouts, in the mode the module is in."""
    results = []
    for layout in (torch.contiguous_format, torch.channels_last):
        network = copy.deepcopy(module).to(memory_format=layout)
        leaves = [_laid_out(value, layout).detach().requires_grad_() for value in inputs]
        out = outputs(network, leaves)
        sum((o * o).sum() for o in out).backward()
        results.append([*out, *(leaf.grad for leaf in leaves)])
    assert all(error(b, a) < tolerance for a, b in zip(*results, strict=True))


def _laid_out(value: Tensor, layout: torch.memory_format) -> Tensor:
    return value.contiguous(memory_format=layout) if value.ndim == 4 else value


def check_autocast(module: nn.Module, inputs: Sequence[Tensor], tolerance: float) -> None:
    """bf16 autocast, forward and backward, stays near float32; gradients are finite."""
    module.eval()
    with torch.no_grad():
        reference = outputs(module, inputs)
    with torch.autocast("cpu", torch.bfloat16):
        out = outputs(module, inputs)
    assert all(error(a.float(), b) < tolerance for a, b in zip(out, reference, strict=True))
    module.zero_grad()
    sum(o.float().square().sum() for o in out).backward()
    assert all(torch.isfinite(p.grad).all() for p in module.parameters() if p.grad is not None)


def check_compile(
    module: nn.Module, inputs: Sequence[Tensor], backend: str, feeds_norm: Collection[str] = (), tolerance: float = 1e-5
) -> None:
    """torch.compile(fullgraph=True), forward and backward in training mode, equals eager with the same noise.

    A gradient smaller than a tenth of the largest is measured against that tenth: a noise weight's is one sum of terms
    that cancel, up to 2e-5 of its size away from float64 in both modes. That of a `feeds_norm` bias is rounding alone.
    """
    torch.compiler.reset()
    from torch._inductor import config

    twin = copy.deepcopy(module.train())
    compiled = torch.compile(twin, fullgraph=True, backend=backend)
    results = []
    for network, run in ((module, module), (twin, compiled)):
        network.zero_grad()
        with config.patch(fallback_random=True):
            out = outputs(run, inputs)
            sum((o * o).sum() for o in out).backward()
        gradients = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
        results.append((dict(enumerate(out)) | dict(network.named_buffers()), gradients))
    (values, gradients), (our_values, our_gradients) = results
    assert all(error(our_values[name], value) <= tolerance for name, value in values.items())
    largest = max(gradient.abs().max() for gradient in gradients.values())
    for name, value in gradients.items():
        scale = largest if name in feeds_norm else max(largest * 0.1, value.abs().max())
        assert (our_gradients[name] - value).abs().max() <= tolerance * scale, name


def check_round_trip(module: nn.Module, other: nn.Module, inputs: Sequence[Tensor], folder: Path) -> None:
    """State through a safetensors file into a freshly made network: the same output, bit for bit."""
    save_file({name: value.contiguous() for name, value in module.state_dict().items()}, folder / "state.safetensors")
    other.load_state_dict(load_file(folder / "state.safetensors"))
    module.eval(), other.eval()
    with torch.no_grad():
        pairs = zip(outputs(module, inputs), outputs(other, inputs), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
