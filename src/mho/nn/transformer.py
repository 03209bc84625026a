"""`AnalogTransformerEncoderLayer`. Decoder layers need none: torch has no fused path around their children."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from mho.nn.layer import AnalogLayer, MatrixView


class AnalogTransformerEncoderLayer(AnalogLayer, nn.TransformerEncoderLayer):
    """`torch.nn.TransformerEncoderLayer` whose children live on arrays. Shapes as in torch.

    torch's own forward reads the children's weights directly in eval mode (its fused path); this one calls them, always.
    """

    def build(self, path: str) -> None:
        """Nothing: the matrices are those of the children."""

    def views(self) -> Iterator[MatrixView]:
        """None of its own."""
        return iter(())

    def forward(
        self, src: Tensor, src_mask: Tensor | None = None, src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:  # fmt: skip
        """Attention and feed-forward block, each with its residual; arguments as in torch."""
        if self.norm_first:
            x = src + self._sa_block(self.norm1(src), src_mask, src_key_padding_mask, is_causal)
            return x + self._ff_block(self.norm2(x))
        x = self.norm1(src + self._sa_block(src, src_mask, src_key_padding_mask, is_causal))
        return self.norm2(x + self._ff_block(x))
