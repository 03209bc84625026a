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

TINY_VIT = {"depth": 2, "embed_dim": 48, "num_heads": 3}
SHALLOW = {"depths": (1, 1, 2, 1)}
T5 = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 4}
BART = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
        "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "decoder_start_token_id": 1}  # fmt: skip
GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
STAGES = {"image_size": 64, "depths": [1, 1, 1, 1], "num_labels": 10}

ENTRIES: list[dict[str, Any]] = [
    *_timm("residual", "resnet18", "resnet10t", "resnext26ts", "seresnet18", "skresnet18", "res2net50_14w_8s", "resnest14d",
           "ecaresnet26t", "legacy_seresnet18"),
    *_timm("dense and branched", "densenet121", "dpn68", "inception_v3", "inception_next_atto",
           "selecsls42", "vovnet39a", "ese_vovnet19b_dw", "xception41", "rdnet_tiny", size=75),
    *_timm("dense and branched", "dla34", "hrnet_w18_small", size=64),
    *_timm("plain", "darknet17", "cspresnet50", "regnetx_002", "regnety_002"),
    *_timm("mobile", "mobilenetv2_050", "mobilenetv3_small_050", "mobilenetv4_conv_small_050", "mnasnet_small",
           "efficientnet_b0", "efficientnet_lite0", "mixnet_s", "ghostnet_050", "lcnet_050", "rexnet_100", "tinynet_e",
           "fbnetc_100", "hardcorenas_a", "semnasnet_075", "spnasnet_100", "starnet_s1", "fasternet_t0"),
    *_timm("re-parametrised", "repvgg_a0", "mobileone_s0", "repghostnet_050", "repvit_m0_9", "fastvit_t8"),
    *_timm("modern convolution", "convnext_atto", "convnextv2_atto", "convmixer_768_32", "focalnet_tiny_srf", "edgenext_xx_small",
           "mambaout_femto", "hgnet_tiny"),
    *_timm("weight-standardised", "resnetv2_50x1_bit", "nf_resnet26", "nf_regnet_b0"),
    *_timm("vision transformer", "vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224", "beit_base_patch16_224",
           "eva02_tiny_patch14_224", "vit_relpos_small_patch16_224",
           "vit_base_patch16_siglip_224", "vit_base_patch16_clip_224", "flexivit_small",
           size=56, options={"img_size": 56, **TINY_VIT}),
    *_timm("vision transformer", "cait_xxs24_224", "xcit_nano_12_p16_224", size=64, options={"img_size": 64, "depth": 2}),
    *_timm("vision transformer", "convit_tiny", size=224),
    *_timm("multi-scale transformer", "coat_tiny", "crossvit_tiny_240", "mvitv2_tiny", "pvt_v2_b0",
           "hiera_tiny_224", "pit_ti_224", "gcvit_xxtiny", size=224),
    *_timm("hierarchical transformer", "swin_tiny_patch4_window7_224", "swinv2_tiny_window8_256",
           size=64, options={"img_size": 64, "depths": (1, 1, 1, 1)}),
    *_timm("hierarchical transformer", "davit_tiny", size=64, options={"depths": (1, 1, 1, 1)}),
    *_timm("hybrid", "levit_128s", "coatnet_nano_rw_224", "mobilevit_xxs", "mobilevitv2_050",
           "efficientformer_l1", "efficientvit_b0", "efficientvit_m0", "tiny_vit_5m_224",
           "visformer_tiny", "swiftformer_xs", size=224, batch=1),
    *_timm("hybrid", "poolformer_s12", "botnet26t_256", "lambda_resnet26t",
           "sequencer2d_s", size=256, batch=1),
    *_timm("mixer", "mixer_s32_224", "gmixer_12_224", "resmlp_12_224", "gmlp_ti16_224", size=224, batch=1),
    *_vision("residual", "resnet18"),
    *_vision("plain", "squeezenet1_1", "regnet_x_400mf", size=96),
    *_vision("dense and branched", "densenet121", size=64),
    *_vision("dense and branched", "googlenet", size=96, options={"init_weights": False}),
    *_vision("mobile", "mobilenet_v2", "mobilenet_v3_small", "shufflenet_v2_x0_5", "mnasnet0_5", "efficientnet_b0"),
    *_vision("modern convolution", "convnext_tiny"),
    *_vision("vision transformer", "vit_b_32", size=64, options={"image_size": 64}),
    *_vision("hierarchical transformer", "swin_t", "swin_v2_t"),
    *_vision("hybrid", "maxvit_t", size=224, batch=1),
    *_vision("video", "r3d_18", "r2plus1d_18", size=32, frames=4),
    *_vision("segmentation", "lraspp_mobilenet_v3_large",
             options={"num_classes": 5, "weights_backbone": None}),
    *[_text("encoder", name, "AutoModelForSequenceClassification") for name in
      ("bert", "roberta", "electra", "albert", "deberta-v2", "mpnet", "roformer", "nystromformer", "convbert", "ibert",
       "megatron-bert", "modernbert")],
    _text("encoder", "distilbert", "AutoModelForSequenceClassification", options={"dim": 32, "n_layers": 2, "n_heads": 4,
                                                                               "hidden_dim": 64}),
    _text("encoder", "bert", "AutoModelForMaskedLM"),
    _text("encoder", "bert", "AutoModelForQuestionAnswering"),
    _text("encoder", "xlnet", "AutoModelForSequenceClassification", options={"d_model": 32, "n_layer": 2, "n_head": 4,
                                                                           "d_inner": 64}),
    _text("encoder", "fnet", "AutoModelForSequenceClassification", plain=True),
    _text("decoder", "gpt2", "AutoModelForCausalLM", options=GPT),
    _text("decoder", "gptj", "AutoModelForCausalLM", options={**GPT, "rotary_dim": 4}),
    _text("decoder", "codegen", "AutoModelForCausalLM", options={**GPT, "rotary_dim": 4}),
    _text("decoder", "gpt_bigcode", "AutoModelForCausalLM", options=GPT),
    _text("decoder", "openai-gpt", "AutoModelForCausalLM", options=GPT),
    _text("decoder", "bloom", "AutoModelForCausalLM", options={"n_layer": 2, "n_head": 4}),
    _text("decoder", "opt", "AutoModelForCausalLM", options={"ffn_dim": 64, "word_embed_proj_dim": 32}),
    *[_text("decoder", name, "AutoModelForCausalLM") for name in
      ("llama", "mistral", "qwen2", "qwen3", "gemma", "phi", "phi3", "gpt_neox", "stablelm", "falcon", "olmo2", "granite",
       "smollm3", "cohere", "starcoder2")],
    _text("decoder", "gemma2", "AutoModelForCausalLM", options={"head_dim": 8}),
    _text("decoder", "gpt_neo", "AutoModelForCausalLM", options={
        "num_layers": 2, "num_heads": 4, "attention_types": [[["global"], 2]]}),
    _text("encoder and decoder", "t5", "AutoModelForSeq2SeqLM", inputs="text pair", options=T5),
    _text("encoder and decoder", "mt5", "AutoModelForSeq2SeqLM", inputs="text pair", options=T5),
    *[_text("encoder and decoder", name, "AutoModelForSeq2SeqLM", inputs="text pair", options=BART)
      for name in ("bart", "pegasus", "m2m_100", "blenderbot-small")],
    _text("mixture of experts", "mixtral", "AutoModelForCausalLM", options={"num_local_experts": 4, "num_experts_per_tok": 2}),
    _text("mixture of experts", "qwen2_moe", "AutoModelForCausalLM", options={**EXPERTS, "shared_expert_intermediate_size": 32}),
    _text("mixture of experts", "qwen3_moe", "AutoModelForCausalLM", options=EXPERTS),
    _text("mixture of experts", "olmoe", "AutoModelForCausalLM", options=EXPERTS),
    _text("mixture of experts", "gpt_oss", "AutoModelForCausalLM", options={**EXPERTS, "head_dim": 8, "num_local_experts": 4}),
    _text("state space", "mamba", "AutoModelForCausalLM", options={"state_size": 8}),
    _text("state space", "mamba2", "AutoModelForCausalLM", options={
        "state_size": 8, "head_dim": 16, "num_heads": 4, "n_groups": 1}),
    _text("state space", "rwkv", "AutoModelForCausalLM", options={"context_length": 32, "attention_hidden_size": 32}, plain=True),
    *[_image("vision transformer", name, "AutoModelForImageClassification", options=SMALL_VIT) for name in
      ("vit", "beit", "dinov2", "vit_msn", "ijepa")],
    _image("hierarchical transformer", "swin", "AutoModelForImageClassification", size=64, options={
        "image_size": 64, "embed_dim": 24, "depths": [1, 1, 1, 1], "num_heads": [1, 2, 4, 8], "window_size": 2}),
    _image("modern convolution", "convnext", "AutoModelForImageClassification", size=64, options={
        "hidden_sizes": [16, 32, 48, 64], "depths": [1, 1, 1, 1]}),
    _image("residual", "resnet", "AutoModelForImageClassification", size=64, options={
        "embedding_size": 16, "hidden_sizes": [16, 32, 48, 64], "depths": [1, 1, 1, 1]}),
    _image("segmentation", "segformer", "AutoModelForSemanticSegmentation", size=64, options={
        "hidden_sizes": [16, 32, 48, 64], "depths": [1, 1, 1, 1], "decoder_hidden_size": 32,
        "num_attention_heads": [1, 2, 4, 8]}),
    _image("masked images", "vit_mae", "AutoModelForPreTraining", options={
        **SMALL_VIT, "decoder_hidden_size": 16, "decoder_num_hidden_layers": 1, "decoder_num_attention_heads": 2,
        "decoder_intermediate_size": 32}),
    _text("speech", "wav2vec2", "AutoModelForCTC", inputs="audio", length=4000),
    _text("speech", "hubert", "AutoModelForCTC", inputs="audio", length=4000),
    _text("speech", "audio-spectrogram-transformer", "AutoModelForAudioClassification", inputs="spectrogram", options={
        "max_length": 64, "num_mel_bins": 32}),
]  # fmt: skip
