"""vLLM's own offline throughput, in vLLM's environment: `gpu_vllm_offline.py OPTIONS.json`.

Reads model, prompt, tokens, engine options and a pickle of encoded pictures; prints a line of JSON:
requests and tokens a second of `LLM.generate` over pictures that are decoded already.
"""

import io
import json
import pickle
import sys
import time
from pathlib import Path


def main() -> None:
    from PIL import Image
    from vllm import LLM, SamplingParams

    given = json.loads(Path(sys.argv[1]).read_text())
    images = pickle.loads(Path(given["images"]).read_bytes())
    began = time.perf_counter()
    engine = LLM(model=given["model"], **given["engine"])
    start = time.perf_counter() - began
    prompt = engine.get_tokenizer().apply_chat_template(
        [
            {
                "role": "user",
                "content": [{"type": "image"}, {"type": "text", "text": given["prompt"]}],
            }
        ],
        tokenize=False,
        add_generation_prompt=True,
    )
    sampling = SamplingParams(temperature=0, max_tokens=given["tokens"], ignore_eos=True)
    asked = [
        {"prompt": prompt, "multi_modal_data": {"image": Image.open(io.BytesIO(d)).convert("RGB")}}
        for d in images
    ]
    engine.generate(asked[:64], sampling, use_tqdm=False)
    found = {"start s": round(start, 1), "requests": len(asked)}
    for label in ("first", "second"):
        began = time.perf_counter()
        answers = engine.generate(asked, sampling, use_tqdm=False)
        took = time.perf_counter() - began
        tokens = sum(len(a.outputs[0].token_ids) for a in answers)
        found[label] = {"tokens/s": round(tokens / took), "requests/s": round(len(asked) / took, 1)}
    found["prompt tokens"] = len(answers[0].prompt_token_ids)
    print("FOUND " + json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
