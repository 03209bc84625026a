"""`ExitHead`: a side classifier on features in the middle of a network."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from mho.arguments import one_of
from mho.errors import WrongSetting

HEADS = ("linear", "conv")


class ExitHead(nn.Module):
    """Features to class scores: perhaps a convolution with norm and ReLU, the mean over positions, a linear layer.

    Args:
        features: Channels C of images (N, C, H, W), or width of vectors (N, C).
        num_classes: Number of scores.
        images: Which of the two.
        conv: A 3 × 3 convolution of C channels comes first, as in the branches of BranchyNet (arXiv:1709.01686).
    """

    def __init__(self, features: int, num_classes: int, *, images: bool = True, conv: bool = False) -> None:
        super().__init__()
        self.before: nn.Module = nn.Identity()
        if conv:
            layer = nn.Conv2d(features, features, 3, padding=1, bias=False)
            self.before = nn.Sequential(layer, nn.BatchNorm2d(features), nn.ReLU())
        self.linear = nn.Linear(features, num_classes)
        self.images = images

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W), or (N, C), to (N, num_classes)."""
        x = self.before(x)
        return self.linear(x.mean((2, 3)) if self.images else x)


def make_head(head: Any, features: Tensor, num_classes: int, path: str) -> nn.Module:
    """The side classifier that was asked for.

    Args:
        head: ``"linear"``, ``"conv"``, a module, or a callable from an example of the features to a module.
        features: An example.
        num_classes: Number of scores.
        path: Of the module whose output the features are.

    Raises:
        WrongSetting: An unknown name, or features that a head of that name does not take.
    """
    if isinstance(head, nn.Module):
        return head
    if callable(head):
        made = head(features)
        if not isinstance(made, nn.Module):
            raise WrongSetting(f"the head is a {type(made).__name__}", "return a torch.nn.Module", path=path)
        return made
    kind = one_of(head, "head", HEADS, of=path)
    if features.dim() not in ((4,) if kind == "conv" else (2, 4)):
        shape = ", ".join(map(str, ("N", *features.shape[1:])))
        raise WrongSetting(
            f"its output has shape {tuple(features.shape)}, which the head '{kind}' does not take",
            f"give a module of your own, from ({shape}) to (N, {num_classes}): exits={{'{path}': head}}", path=path,
        )  # fmt: skip
    made = ExitHead(features.shape[1], num_classes, images=features.dim() == 4, conv=kind == "conv")
    return made.to(features)
