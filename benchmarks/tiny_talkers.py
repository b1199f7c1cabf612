"""Tiny models that answer prompts, by family: real classes, random weights, templates in each
family's style.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from broad_talkers import (
    ernie_vl,
    glm46v,
    kimi,
    kosmos2,
    minicpmv,
    molmo2,
    omni_thinker,
    perception_lm,
    phi4_multimodal,
)
from latest_talkers import chameleon, deepseek_vl_hybrid, emu3, gemma4, janus, llama4
from more_talkers import (
    blip2,
    deepseek_vl,
    florence2,
    gemma3,
    idefics3,
    mistral3,
    mllama,
    paligemma,
    smolvlm,
)
from newer_talkers import (
    aya_vision,
    blip,
    cohere2_vision,
    git,
    glm4v,
    idefics2,
    instructblip,
    lfm2_vl,
    ovis2,
    qwen2_vl,
    qwen3_5,
    qwen3_vl_moe,
    vipllava,
)
from talker_parts import CHATML, EYE, LLM, SIDE, chat_words, ids, llama_words, turns
from tiny_parts import awake, save
from wider_talkers import aria, omni3_thinker, video_llava


def llava(folder: Path) -> None:
    import transformers as t

    words = llama_words("<image>", image_token="<image>")
    config = t.LlavaConfig(
        text_config=t.LlamaConfig(**LLM, **ids(words)),
        vision_config=t.CLIPVisionConfig(**EYE),
        image_token_index=words.convert_tokens_to_ids("<image>"),
        image_seq_length=4,
    )
    images = t.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=SIDE)
    processor = t.LlavaProcessor(
        images,
        words,
        patch_size=16,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )
    template = turns("<image>\n", "ROLE: ", " ", "ASSISTANT:")
    save(folder, awake(t.LlavaForConditionalGeneration(config)), processor, template)


def llava_next(folder: Path) -> None:
    import transformers as t

    words = llama_words("<image>", image_token="<image>")
    grids = [[32, 64], [64, 32], [64, 64]]
    config = t.LlavaNextConfig(
        text_config=t.MistralConfig(**LLM, **ids(words)),
        vision_config=t.CLIPVisionConfig(**EYE),
        image_token_index=words.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=grids,
        image_seq_length=4,
    )
    images = t.LlavaNextImageProcessor(
        size={"shortest_edge": 32}, crop_size=SIDE, image_grid_pinpoints=grids
    )
    processor = t.LlavaNextProcessor(
        images,
        words,
        patch_size=16,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )
    template = turns("<image>\n", "[INST] ", " [/INST]", "")
    save(folder, awake(t.LlavaNextForConditionalGeneration(config)), processor, template)


def llava_onevision(folder: Path) -> None:
    import transformers as t

    words = chat_words("<image>", "<video>", image_token="<image>", video_token="<video>")
    grids = [[32, 32], [32, 64], [64, 32], [64, 64]]
    config = t.LlavaOnevisionConfig(
        text_config=t.Qwen2Config(**LLM, **ids(words)),
        vision_config=t.SiglipVisionConfig(**EYE, vision_use_head=False),
        image_token_index=words.convert_tokens_to_ids("<image>"),
        video_token_index=words.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=grids,
    )
    processor = t.LlavaOnevisionProcessor(
        t.LlavaOnevisionImageProcessor(size=SIDE, image_grid_pinpoints=grids),
        words,
        t.LlavaOnevisionVideoProcessor(size=SIDE),
        num_image_tokens=4,
        vision_feature_select_strategy="full",
    )
    template = turns("<image>\n", *CHATML)
    save(folder, awake(t.LlavaOnevisionForConditionalGeneration(config)), processor, template)


QWEN = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
QWEN_IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"


def qwen_images(patch: int) -> Any:
    import transformers as t

    pixels = {"shortest_edge": 4 * patch * patch, "longest_edge": 64 * patch * patch}
    return t.Qwen2VLImageProcessor(patch_size=patch, size=pixels)


def qwen2_5_vl(folder: Path) -> None:
    import transformers as t

    words = chat_words(*QWEN, image_token="<|image_pad|>", video_token="<|video_pad|>")
    eye = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 4}
    eye |= {"out_hidden_size": 32, "window_size": 56, "fullatt_block_indexes": [1]}
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e4}
    config = t.Qwen2_5_VLConfig(
        text_config={**LLM, "rope_parameters": rope, **ids(words)},
        vision_config=eye,
        image_token_id=words.convert_tokens_to_ids("<|image_pad|>"),
        video_token_id=words.convert_tokens_to_ids("<|video_pad|>"),
        vision_start_token_id=words.convert_tokens_to_ids("<|vision_start|>"),
        vision_end_token_id=words.convert_tokens_to_ids("<|vision_end|>"),
    )
    processor = t.Qwen2_5_VLProcessor(qwen_images(14), words, t.Qwen2VLVideoProcessor())
    template = turns(QWEN_IMAGE, *CHATML)
    save(folder, awake(t.Qwen2_5_VLForConditionalGeneration(config)), processor, template)


def qwen3_vl(folder: Path, template: str | None = None) -> None:
    import transformers as t

    words = chat_words(*QWEN, image_token="<|image_pad|>", video_token="<|video_pad|>")
    words.add_tokens(["<think>", "</think>"])
    eye = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 4}
    eye |= {"out_hidden_size": 32, "deepstack_visual_indexes": [0], "num_position_embeddings": 64}
    rope = {"rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 1e4}
    text = {**LLM, "head_dim": 8, "rope_parameters": rope, **ids(words), "vocab_size": 330}
    config = t.Qwen3VLConfig(
        text_config=text,
        vision_config=eye,
        image_token_id=words.convert_tokens_to_ids("<|image_pad|>"),
        video_token_id=words.convert_tokens_to_ids("<|video_pad|>"),
        vision_start_token_id=words.convert_tokens_to_ids("<|vision_start|>"),
        vision_end_token_id=words.convert_tokens_to_ids("<|vision_end|>"),
    )
    processor = t.Qwen3VLProcessor(qwen_images(16), words, t.Qwen3VLVideoProcessor())
    template = template or turns(QWEN_IMAGE, *CHATML)
    save(folder, awake(t.Qwen3VLForConditionalGeneration(config)), processor, template)


def reasoning(folder: Path) -> None:
    """A template that opens a thought, as those of reasoning models do."""
    begin, end, answer = CHATML
    qwen3_vl(folder, turns(QWEN_IMAGE, begin, end, answer + "<think>\n"))


def internvl(folder: Path) -> None:
    import transformers as t

    named = {"start_image_token": "<img>", "end_image_token": "</img>"}
    named |= {"context_image_token": "<IMG_CONTEXT>", "video_token": "<video>"}
    words = chat_words("<img>", "</img>", "<IMG_CONTEXT>", "<video>", **named)
    config = t.InternVLConfig(
        text_config=t.Qwen2Config(**LLM, **ids(words)),
        vision_config={**EYE, "image_size": [32, 32], "patch_size": [8, 8]},
        image_token_id=words.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
    )
    processor = t.InternVLProcessor(
        t.GotOcr2ImageProcessor(size=SIDE, crop_to_patches=True, max_patches=4),
        words,
        t.InternVLVideoProcessor(size=SIDE),
        image_seq_length=4,
    )
    template = turns("<IMG_CONTEXT>\n", *CHATML)
    save(folder, awake(t.InternVLForConditionalGeneration(config)), processor, template)


def text_llm(folder: Path) -> None:
    import transformers as t

    words = chat_words()
    begin, end, answer = CHATML
    opening = begin.replace("ROLE", "{{ m['role'] }}")
    words.chat_template = (
        f"{{% for m in messages %}}{opening}{{{{ m['content'] }}}}{end}{{% endfor %}}{answer}"
    )
    model = awake(t.Qwen2ForCausalLM(t.Qwen2Config(**LLM, **ids(words))))
    model.save_pretrained(folder)
    words.save_pretrained(folder)


@dataclass(frozen=True)
class Talker:
    """How a family is built and asked."""

    build: Callable[[Path], None]
    template: bool = True
    sees: bool = True
    smallest: tuple[int, int] = (1, 1)
    """Of its pictures, in pixels."""
    whole: bool = False
    """Whether its answers begin with the prompt, as the family's example has it."""
    mark: str = ""
    """What its example writes behind the prompt, in the place of the image."""
    each_time: bool = True
    """Whether CI tries it whenever anything changes; others are tried when the table is made."""
    kernels: str | None = None
    """Attention of the direct call, where transformers' own choice is wrong."""


TALKERS: dict[str, Talker] = {
    "LLaVA-1.5": Talker(llava),
    "LLaVA-NeXT": Talker(llava_next),
    "LLaVA-OneVision": Talker(llava_onevision),
    "Qwen2.5-VL": Talker(qwen2_5_vl),
    "Qwen3-VL": Talker(qwen3_vl),
    "Qwen3-VL, reasoning template": Talker(reasoning),
    "InternVL (HF)": Talker(internvl),
    "Idefics3": Talker(idefics3),
    "SmolVLM": Talker(smolvlm),
    "PaliGemma": Talker(paligemma, template=False),
    "Gemma 3": Talker(gemma3),
    "Mllama": Talker(mllama),
    "Pixtral/Mistral 3": Talker(mistral3, smallest=(1, 40)),
    "Florence-2": Talker(florence2, template=False),
    "BLIP-2": Talker(blip2, template=False),
    "DeepSeek-VL (HF)": Talker(deepseek_vl),
    "Qwen2-VL": Talker(qwen2_vl),
    "Qwen3-VL MoE": Talker(qwen3_vl_moe),
    "Qwen3.5": Talker(qwen3_5),
    "GLM-4V": Talker(glm4v),
    "LFM2-VL": Talker(lfm2_vl),
    "Aya Vision": Talker(aya_vision),
    "Command A Vision": Talker(cohere2_vision),
    "Ovis2": Talker(ovis2),
    "Idefics2": Talker(idefics2),
    "ViP-LLaVA": Talker(vipllava),
    "InstructBLIP": Talker(instructblip, template=False),
    "BLIP": Talker(blip, template=False, whole=True),
    "GIT": Talker(git, template=False),
    "Llama 4": Talker(llama4),
    "Gemma 4": Talker(gemma4),
    "Janus": Talker(janus, each_time=False),
    "Emu3": Talker(emu3, smallest=(5, 7)),
    "Chameleon": Talker(chameleon, template=False, mark="<image>", each_time=False),
    "Kosmos-2": Talker(kosmos2, template=False),
    "Molmo2": Talker(molmo2),
    "Phi-4 multimodal": Talker(phi4_multimodal, kernels="eager", each_time=False),
    "MiniCPM-V 4.6": Talker(minicpmv, each_time=False),
    "Kimi K2.5": Talker(kimi, each_time=False),
    "DeepSeek-VL hybrid": Talker(deepseek_vl_hybrid, each_time=False),
    "PerceptionLM": Talker(perception_lm),
    "Ernie 4.5 VL": Talker(ernie_vl, each_time=False),
    "GLM-4.6V": Talker(glm46v),
    "Qwen2.5-Omni (thinker)": Talker(omni_thinker),
    "Qwen3-Omni (thinker)": Talker(omni3_thinker, each_time=False),
    "Aria": Talker(aria, each_time=False),
    "Video-LLaVA": Talker(video_llava, smallest=(4, 5)),
    "text LLM (Qwen2)": Talker(text_llm, sees=False),
}
