"""Assertions for properties of every module and network. Tests call them for each item of their lists."""

import copy
from collections.abc import Collection, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

SLIM_FEEDS_NORM = ("style.fc1.bias", "mask.0.bias", "mask.3.bias", "mask.6.bias")
"""Biases of a skip-layer gate before a batch norm, which subtracts the mean. Their gradient is zero up to rounding."""
EXACT = 1e-9
"""Relative error between two computations in float64."""


def tensors_in(value: object) -> list[Tensor]:
    """Return all tensors of an output with nested tuples."""
    if isinstance(value, Tensor):
        return [value]
    return [tensor for part in value for tensor in tensors_in(part)]


def error(value: Tensor, reference: Tensor) -> float:
    """Return max|a-b| / max|b|, or infinity if the shapes differ or there is a NaN."""
    if value.shape != reference.shape or not torch.isfinite(value).all():
        return float("inf")
    reference = reference.detach().double()
    return ((value.detach().double() - reference).abs().max() / reference.abs().max().clamp_min(1e-30)).item()


def outputs(module: nn.Module, inputs: Sequence[Tensor], seed: int = 0) -> list[Tensor]:
    """Run one forward pass with a seeded global generator, so that noise layers draw the same maps each time."""
    torch.manual_seed(seed)
    return tensors_in(module(*inputs))


def check_gradients(module: nn.Module, inputs: Sequence[Tensor], feeds_norm: Collection[str] = ()) -> None:
    """Assert that every parameter has a finite gradient above 1e-6 of the largest gradient.

    `feeds_norm` names biases before a batch norm, which cancels their effect.
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
    """Assert that an image does not depend on the rest of its batch in evaluation mode."""
    module.eval()
    with torch.no_grad():
        whole = outputs(module, inputs)
        first = outputs(module, [value[:1] for value in inputs])
    assert all(error(a, b[:1]) < tolerance for a, b in zip(first, whole, strict=True))


def check_channels_last(module: nn.Module, inputs: Sequence[Tensor], tolerance: float = 1e-5) -> None:
    """Assert equal values in both memory formats, in the module's mode, and equal input gradients in float64.

    Gradients in float32 are not compared, because rounding can move an activation to the other side of its kink.
    """
    for dtype, allowed in ((torch.float32, tolerance), (torch.float64, EXACT)):
        results = []
        for layout in (torch.contiguous_format, torch.channels_last):
            network = copy.deepcopy(module).to(dtype=dtype, memory_format=layout)
            leaves = [_with_layout(value.to(dtype), layout).detach().requires_grad_() for value in inputs]
            out = outputs(network, leaves)
            if dtype == torch.float64:
                sum((o * o).sum() for o in out).backward()
                out += [leaf.grad for leaf in leaves]
            results.append(out)
        assert all(error(b, a) < allowed for a, b in zip(*results, strict=True))


def _with_layout(value: Tensor, layout: torch.memory_format) -> Tensor:
    return value.contiguous(memory_format=layout) if value.ndim == 4 else value


def check_autocast(module: nn.Module, inputs: Sequence[Tensor], tolerance: float) -> None:
    """Assert that bf16 autocast is close to float32 in forward and backward and has finite gradients."""
    module.eval()
    with torch.no_grad():
        reference = outputs(module, inputs)
    with torch.autocast("cpu", torch.bfloat16):
        out = outputs(module, inputs)
    assert all(error(a.float(), b) < tolerance for a, b in zip(out, reference, strict=True))
    module.zero_grad()
    sum(o.float().square().sum() for o in out).backward()
    assert all(torch.isfinite(p.grad).all() for p in module.parameters() if p.grad is not None)


def check_compile(module: nn.Module, inputs: Sequence[Tensor], backend: str) -> None:
    """Assert that torch.compile(fullgraph=True) equals eager in training mode, forward and backward, with equal noise.

    Computed in float64, because in float32 an activation near its kink could be on either side. Errors of gradients are
    relative to the largest gradient, because the gradient of a bias before a batch norm consists of rounding errors.
    """
    torch.compiler.reset()
    from torch._inductor import config

    inputs = [value.double() for value in inputs]
    module = module.double().train()
    twin = copy.deepcopy(module)
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
    assert all(error(our_values[name], value) <= EXACT for name, value in values.items())
    assert our_gradients.keys() == gradients.keys()
    largest = max(gradient.abs().max() for gradient in gradients.values())
    for name, value in gradients.items():
        assert (our_gradients[name] - value).abs().max() <= EXACT * largest, name


def check_compiled_forward(module: nn.Module, inputs: Sequence[Tensor]) -> None:
    """Assert that generated code equals eager evaluation, in float64 with equal noise."""
    torch.compiler.reset()
    from torch._inductor import config

    module, inputs = module.double().eval(), [value.double() for value in inputs]
    compiled = torch.compile(copy.deepcopy(module), fullgraph=True)
    with torch.no_grad(), config.patch(fallback_random=True):
        pairs = zip(outputs(compiled, inputs), outputs(module, inputs), strict=True)
        assert all(error(ours, value) <= EXACT for ours, value in pairs)


def check_round_trip(module: nn.Module, other: nn.Module, inputs: Sequence[Tensor], folder: Path) -> None:
    """Assert that a new network with the state from a safetensors file gives a bit-identical output."""
    save_file({name: value.contiguous() for name, value in module.state_dict().items()}, folder / "state.safetensors")
    other.load_state_dict(load_file(folder / "state.safetensors"))
    module.eval(), other.eval()
    with torch.no_grad():
        pairs = zip(outputs(module, inputs), outputs(other, inputs), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
