"""Networks of timm, torchvision and transformers from their names, small, with random weights, and one batch for each."""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import nn

VOCABULARY = 120
TEXT = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
    "max_position_embeddings": 64, "num_key_value_heads": 2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
    "use_cache": False,
}  # fmt: skip
"""Sizes of a transformers config; a config that knows a size by another name gets it in its entry."""


def declare_vision_operators() -> None:
    """Lets a torchvision built for GPUs be imported beside torch for CPUs; its compiled operators do not run."""
    if hasattr(torch.ops.torchvision, "nms"):
        return
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _libraries.append(library)


_libraries: list[Any] = []


def load(library: str) -> Any:
    """Import a library.

    Args:
        library: "timm", "torchvision" or "transformers".
    """
    if library in ("timm", "torchvision", "transformers") and not _libraries:
        declare_vision_operators()
    return importlib.import_module("torchvision.models" if library == "torchvision" else library)


def build(entry: dict[str, Any]) -> tuple[nn.Module, Any]:
    """A network in eval mode, and the example that `to_analog` takes (a tensor, a tuple or a dict).

    Matrices that a library begins with zeros get random values, for there would be nothing to program.

    Args:
        entry: One of `architectures.ENTRIES`.
    """
    torch.manual_seed(0)
    model, example = _built(entry)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1 and not parameter.any():
                parameter.normal_(std=0.02)
    return model, example


def _built(entry: dict[str, Any]) -> tuple[nn.Module, Any]:
    library, options = entry["library"], dict(entry.get("options", {}))
    size, batch = entry.get("size", 64), entry.get("batch", 2)
    if library == "timm":
        model = load("timm").create_model(entry["name"], pretrained=False, num_classes=10, **options)
        return model.eval(), torch.randn(batch, 3, size, size)
    if library == "torchvision":
        models = load("torchvision")
        model = models.get_model(entry["name"], weights=None, **{"num_classes": 10, **options})
        frames = (entry["frames"],) if "frames" in entry else ()
        return model.eval(), torch.randn(batch, 3, *frames, size, size)
    return _transformers(entry, options)


def _transformers(entry: dict[str, Any], options: dict[str, Any]) -> tuple[nn.Module, Any]:
    transformers = load("transformers")
    known = transformers.AutoConfig.for_model(entry["name"])
    small = {name: value for name, value in TEXT.items() if name in known.to_dict()}
    config = transformers.AutoConfig.for_model(entry["name"], **{**small, **options})
    model = getattr(transformers, entry["head"]).from_config(config).eval()
    length = entry.get("length", 16)
    if entry.get("inputs") == "image":
        size = entry.get("size", 32)
        return model, {"pixel_values": torch.randn(2, entry.get("channels", 3), size, size)}
    if entry.get("inputs") == "audio":
        return model, {"input_values": torch.randn(2, length)}
    if entry.get("inputs") == "spectrogram":
        return model, {"input_values": torch.randn(2, config.max_length, config.num_mel_bins)}
    tokens = torch.randint(3, VOCABULARY, (2, length))
    if entry.get("plain"):  # takes no attention mask
        return model, {"input_ids": tokens}
    example = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
    if entry.get("inputs") == "text pair":
        example["decoder_input_ids"] = torch.randint(3, VOCABULARY, (2, length))
    return model, example
