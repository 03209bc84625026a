"""The architectures that are tried: one entry each, as data.

`name` is the library's own (timm, torchvision: of the model; transformers: of the config, with the class `head`). `options` go to
the model or to the config, so that the networks are small; `size`, `length`, `frames` are those of the inputs.
"""

from __future__ import annotations

from typing import Any


def _timm(family: str, *names: str, size: int = 64, **more: Any) -> list[dict[str, Any]]:
    return [{"library": "timm", "family": family, "name": name, "size": size, **more} for name in names]


def _vision(family: str, *names: str, size: int = 64, **more: Any) -> list[dict[str, Any]]:
    return [{"library": "torchvision", "family": family, "name": name, "size": size, **more} for name in names]


def _text(family: str, name: str, head: str, **more: Any) -> dict[str, Any]:
    return {"library": "transformers", "family": family, "name": name, "head": head, **more}


def _image(family: str, name: str, head: str, **more: Any) -> dict[str, Any]:
    return _text(family, name, head, inputs="image", **more)


def _sized(size: int, **more: Any) -> dict[str, Any]:
    return {"size": size, "options": {"img_size": size, **more}}


SMALL_VIT = {"image_size": 32, "patch_size": 8, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
             "intermediate_size": 64}  # fmt: skip

ENTRIES: list[dict[str, Any]] = [
    *_timm("residual convolutions", "resnet18"),
    *_timm("mobile convolutions", "mobilenetv3_small_050", "efficientnet_lite0"),
    *_timm("modern convolutions", "convnext_atto", "ghostnet_050"),
    *_timm("weight-standardised", "resnetv2_50d_gn", "nf_resnet26", "resnetv2_50x1_bit"),
    *_timm("vision transformer", "vit_tiny_patch16_224", **_sized(64)),
    *_timm("vision transformer", "xcit_nano_12_p16_224", "beit_base_patch16_224", **_sized(64)),
    *_timm("multi-scale transformer", "coat_tiny", **_sized(64)),
    *_timm("hierarchical transformer", "swinv2_cr_tiny_224", **_sized(64, window_size=2)),
    *_timm("hybrid", "levit_128s", "coatnet_nano_rw_224", size=224),
    *_timm("mixer", "mixer_s32_224", "gmixer_12_224", size=224),
    *_vision("residual convolutions", "resnet18"),
    *_vision("modern convolutions", "convnext_tiny"),
    *_vision("vision transformer", "vit_b_16", size=64, options={"image_size": 64}),
    *_vision("hierarchical transformer", "swin_t"),
    _text("encoder", "bert", "AutoModelForSequenceClassification"),
    _text("decoder", "gpt2", "AutoModelForCausalLM", options={"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}),
    _text("decoder", "llama", "AutoModelForCausalLM"),
    _text("encoder and decoder", "t5", "AutoModelForSeq2SeqLM", inputs="text pair",
          options={"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}),
    _text("mixture of experts", "mixtral", "AutoModelForCausalLM", options={"num_local_experts": 4, "num_experts_per_tok": 2}),
    _text("state space", "mamba", "AutoModelForCausalLM", options={"state_size": 8, "hidden_size": 32}),
    _image("vision transformer", "vit", "AutoModelForImageClassification", options=SMALL_VIT),
    _text("encoder", "xlnet", "AutoModelForSequenceClassification", options={"d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 64}),
]  # fmt: skip
