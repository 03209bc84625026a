"""A dozen networks of timm, torchvision and transformers, one a family; skipped where the library is not installed."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from mho.convert import to_analog

ZOO = Path(__file__).parents[2] / "benchmarks" / "zoo"
ONE_A_FAMILY = [
    "timm/resnet10t", "timm/mobilenetv3_small_050", "timm/resnetv2_50x1_bit", "timm/vit_tiny_patch16_224",
    "timm/beit_base_patch16_224", "timm/xcit_nano_12_p16_224", "torchvision/shufflenet_v2_x0_5", "torchvision/swin_t",
    "transformers/bert/AutoModelForSequenceClassification", "transformers/gpt2/AutoModelForCausalLM",
    "transformers/t5/AutoModelForSeq2SeqLM", "transformers/mixtral/AutoModelForCausalLM",
    "transformers/mamba/AutoModelForCausalLM",
]  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ONE_A_FAMILY)
def test_networks_of_the_libraries_convert_in_one_line(name, monkeypatch):
    monkeypatch.syspath_prepend(str(ZOO))
    build, run = importlib.import_module("build"), importlib.import_module("run")
    entry = next(entry for entry in importlib.import_module("architectures").ENTRIES if run.key(entry) == name)
    try:
        model, example = build.build(entry)
    except ImportError as error:
        pytest.skip(f"{entry['library']} is not here: {error}")
    placement = to_analog(model, "pcm", example=example).placement
    assert placement.stored_share > 0.99 and not placement.not_counted
