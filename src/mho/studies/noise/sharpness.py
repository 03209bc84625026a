"""`sharpness`: the largest curvature of the loss, in steps that are shares of each tensor's standard deviation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

_STEPS = 12


def sharpness(net: nn.Module, x: Tensor, y: Tensor) -> float:
    """The largest eigenvalue of S·H·S by power iteration: H the Hessian of the mean cross-entropy in the weights (parameters of
    two dimensions and more), S the standard deviation of each tensor.

    Noise of the size η on the weights moves the network by η·S·n, so it costs η²/2 times the trace of S·H·S in the mean.

    Args:
        net: In eval mode.
        x: Inputs.
        y: Labels.
    """
    weights = [p for p in net.parameters() if p.dim() > 1]
    sizes = [p.detach().std(correction=0) for p in weights]
    with sdpa_kernel(SDPBackend.MATH):  # torch's fused attention has no second derivative
        slopes = torch.autograd.grad(F.cross_entropy(net(x), y), weights, create_graph=True)
    generator = torch.Generator().manual_seed(0)
    v = [torch.randn(p.shape, generator=generator) for p in weights]
    value = 0.0
    for _ in range(_STEPS):
        length = torch.stack([part.square().sum() for part in v]).sum().sqrt()
        v = [part / length for part in v]
        along = sum((g * (s * part)).sum() for g, s, part in zip(slopes, sizes, v, strict=True))
        product = torch.autograd.grad(along, weights, retain_graph=True)  # type: ignore[arg-type]
        turned = [s * h for s, h in zip(sizes, product, strict=True)]
        value = float(torch.stack([(a * b).sum() for a, b in zip(v, turned, strict=True)]).sum())
        v = turned
    return value


def tails(net: nn.Module) -> dict[str, float]:
    """Of the tensors of weights, means over tensors: ``std``, and ``max_over_std``, the largest |value| by the deviation."""
    weights = [p.detach() for p in net.parameters() if p.dim() > 1]
    stds = torch.stack([w.std(correction=0) for w in weights])
    peaks = torch.stack([w.abs().max() for w in weights])
    return {"std": float(stds.mean()), "max_over_std": float((peaks / stds).mean())}
