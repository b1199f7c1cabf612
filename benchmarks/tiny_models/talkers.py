"""All tiny models that answer prompts, by family; one that only reads comes last."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tiny_models import (
    blip,
    cohere,
    deepseek,
    ernie,
    florence,
    gemma,
    glm,
    idefics,
    internvl,
    lfm,
    llama,
    llava,
    minicpm,
    mistral,
    qwen,
    single,
)


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
    "LLaVA-1.5": Talker(llava.llava),
    "LLaVA-NeXT": Talker(llava.llava_next),
    "LLaVA-OneVision": Talker(llava.llava_onevision),
    "Qwen2.5-VL": Talker(qwen.qwen2_5_vl),
    "Qwen3-VL": Talker(qwen.qwen3_vl),
    "Qwen3-VL, reasoning template": Talker(qwen.reasoning),
    "InternVL (HF)": Talker(internvl.internvl),
    "Idefics3": Talker(idefics.idefics3),
    "SmolVLM": Talker(idefics.smolvlm),
    "PaliGemma": Talker(gemma.paligemma, template=False),
    "Gemma 3": Talker(gemma.gemma3),
    "Mllama": Talker(llama.mllama),
    "Pixtral/Mistral 3": Talker(mistral.mistral3, smallest=(1, 40)),
    "Florence-2": Talker(florence.florence2, template=False),
    "BLIP-2": Talker(blip.blip2, template=False),
    "DeepSeek-VL (HF)": Talker(deepseek.deepseek_vl),
    "Qwen2-VL": Talker(qwen.qwen2_vl),
    "Qwen3-VL MoE": Talker(qwen.qwen3_vl_moe),
    "Qwen3.5": Talker(qwen.qwen3_5),
    "GLM-4V": Talker(glm.glm4v),
    "LFM2-VL": Talker(lfm.lfm2_vl),
    "Aya Vision": Talker(cohere.aya_vision),
    "Command A Vision": Talker(cohere.cohere2_vision),
    "Ovis2": Talker(single.ovis2),
    "Idefics2": Talker(idefics.idefics2),
    "ViP-LLaVA": Talker(llava.vipllava),
    "InstructBLIP": Talker(blip.instructblip, template=False),
    "BLIP": Talker(blip.blip, template=False, whole=True),
    "GIT": Talker(blip.git, template=False),
    "Llama 4": Talker(llama.llama4),
    "Gemma 4": Talker(gemma.gemma4),
    "Janus": Talker(deepseek.janus, each_time=False),
    "Emu3": Talker(single.emu3, smallest=(5, 7)),
    "Chameleon": Talker(llama.chameleon, template=False, mark="<image>", each_time=False),
    "Kosmos-2": Talker(florence.kosmos2, template=False),
    "Molmo2": Talker(single.molmo2),
    "Phi-4 multimodal": Talker(florence.phi4_multimodal, kernels="eager", each_time=False),
    "MiniCPM-V 4.6": Talker(minicpm.minicpmv, each_time=False),
    "Kimi K2.5": Talker(deepseek.kimi, each_time=False),
    "DeepSeek-VL hybrid": Talker(deepseek.deepseek_vl_hybrid, each_time=False),
    "PerceptionLM": Talker(llama.perception_lm),
    "Ernie 4.5 VL": Talker(ernie.ernie_vl, each_time=False),
    "GLM-4.6V": Talker(glm.glm46v),
    "Qwen2.5-Omni (thinker)": Talker(qwen.omni_thinker),
    "Qwen3-Omni (thinker)": Talker(qwen.omni3_thinker, each_time=False),
    "Aria": Talker(single.aria, each_time=False),
    "Video-LLaVA": Talker(llava.video_llava, smallest=(4, 5)),
    "Gemma 3n": Talker(gemma.gemma3n),
    "Granite 4 Vision": Talker(llava.granite_vision),
    "Granite Docling": Talker(idefics.granite_docling, each_time=False),
    "GLM-OCR": Talker(glm.glm_ocr, each_time=False),
    "PaddleOCR-VL": Talker(ernie.paddleocr_vl),
    "LightOnOCR": Talker(mistral.lighton_ocr),
    "Qianfan-OCR": Talker(internvl.qianfan_ocr),
    "FastVLM": Talker(llava.fast_vlm),
    "HunYuan-VL": Talker(single.hunyuan_vl, each_time=False),
    "EXAONE 4.5": Talker(single.exaone4_5),
    "VideoLLaMA 3": Talker(single.video_llama_3),
    "LLaVA-NeXT-Video": Talker(llava.llava_next_video),
    "Qwen3.5 MoE": Talker(qwen.qwen3_5_moe, each_time=False),
    "Qwen4 (exp)": Talker(qwen.qwen4_exp, each_time=False),
    "GLM-4.5V": Talker(glm.glm4v_moe, each_time=False),
    "LFM3-VL": Talker(lfm.lfm3_vl),
    "MiniCPM-V 4.7": Talker(minicpm.minicpmv4_7, each_time=False),
    "Mistral Large 4": Talker(mistral.mistral_large4, smallest=(1, 40), each_time=False),
    "HyperCLOVA X Vision": Talker(single.hyperclovax, each_time=False),
    "Step 3.7": Talker(single.step3p7, each_time=False),
    "Gemma 4 (unified)": Talker(gemma.gemma4_unified, each_time=False),
    "DeepSeek-OCR 2": Talker(deepseek.deepseek_ocr2, each_time=False),
    "MiniMax M3": Talker(single.minimax_m3, each_time=False),
    "Kosmos-2.5": Talker(florence.kosmos2_5, template=False, each_time=False),
    "text LLM (Qwen2)": Talker(qwen.text_llm, sees=False),
}
