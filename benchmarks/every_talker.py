"""All tiny models that answer prompts, by family."""

from further_talkers import (
    exaone4_5,
    gemma3n,
    granite_docling,
    hunyuan_vl,
    kosmos2_5,
    llava_next_video,
    video_llama_3,
)
from reading_talkers import (
    fast_vlm,
    glm_ocr,
    granite_vision,
    lighton_ocr,
    paddleocr_vl,
    qianfan_ocr,
)
from recent_talkers import (
    deepseek_ocr2,
    gemma4_unified,
    glm4v_moe,
    hyperclovax,
    lfm3_vl,
    minicpmv4_7,
    minimax_m3,
    mistral_large4,
    qwen3_5_moe,
    qwen4_exp,
    step3p7,
)
from tiny_talkers import TALKERS, Talker

LATER: dict[str, Talker] = {
    "Gemma 3n": Talker(gemma3n),
    "Granite 4 Vision": Talker(granite_vision),
    "Granite Docling": Talker(granite_docling, each_time=False),
    "GLM-OCR": Talker(glm_ocr, each_time=False),
    "PaddleOCR-VL": Talker(paddleocr_vl),
    "LightOnOCR": Talker(lighton_ocr),
    "Qianfan-OCR": Talker(qianfan_ocr),
    "FastVLM": Talker(fast_vlm),
    "HunYuan-VL": Talker(hunyuan_vl, each_time=False),
    "EXAONE 4.5": Talker(exaone4_5),
    "VideoLLaMA 3": Talker(video_llama_3),
    "LLaVA-NeXT-Video": Talker(llava_next_video),
    "Qwen3.5 MoE": Talker(qwen3_5_moe, each_time=False),
    "Qwen4 (exp)": Talker(qwen4_exp, each_time=False),
    "GLM-4.5V": Talker(glm4v_moe, each_time=False),
    "LFM3-VL": Talker(lfm3_vl),
    "MiniCPM-V 4.7": Talker(minicpmv4_7, each_time=False),
    "Mistral Large 4": Talker(mistral_large4, smallest=(1, 40), each_time=False),
    "HyperCLOVA X Vision": Talker(hyperclovax, each_time=False),
    "Step 3.7": Talker(step3p7, each_time=False),
    "Gemma 4 (unified)": Talker(gemma4_unified, each_time=False),
    "DeepSeek-OCR 2": Talker(deepseek_ocr2, each_time=False),
    "MiniMax M3": Talker(minimax_m3, each_time=False),
    "Kosmos-2.5": Talker(kosmos2_5, template=False, each_time=False),
}
*SEEING, LAST = TALKERS
EVERY = {name: TALKERS[name] for name in SEEING} | LATER | {LAST: TALKERS[LAST]}
"""Those that see, then the one that only reads."""
