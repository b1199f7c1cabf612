"""Captions by any image-text-to-text model of `transformers`, through its own chat template."""

from collections.abc import Sequence
from typing import Any

from pairmill.captioners.engine import Answer, Request
from pairmill.errors import StageBroken, first_line
from pairmill.schemas.hashing import row_chance
from pairmill.torch_device import Device, Precision, limit_threads, pick_device, pick_dtype


class TransformersCaptioner:
    """Loads the model once; greedy with `temperature` 0, else every row draws from its own seeded
    stream.
    """

    def __init__(
        self, *, stage: str, model: str, revision: str | None, device: Device, dtype: Precision, cpus: float,
        max_new_tokens: int, temperature: float, top_p: float, seed: int,
    ) -> None:  # fmt: skip
        from transformers import AutoModelForImageTextToText, AutoProcessor

        limit_threads(cpus)
        self.device = pick_device(device, stage)
        self.dtype = pick_dtype(dtype)
        self.max_new_tokens, self.temperature, self.top_p, self.seed = (
            max_new_tokens,
            temperature,
            top_p,
            seed,
        )
        try:
            loaded: Any = AutoModelForImageTextToText.from_pretrained(
                model, revision=revision, dtype=self.dtype
            )
            self.processor: Any = AutoProcessor.from_pretrained(model, revision=revision)
        except (OSError, ValueError, KeyError) as error:
            raise StageBroken(
                f"stage {stage!r}: model {model!r} does not load: {first_line(error)}"
            ) from error
        self.model = loaded.to(self.device).eval()
        tokenizer = self.processor.tokenizer
        tokenizer.padding_side = "left"
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        stop = self.model.generation_config.eos_token_id
        self.stop_ids = set(stop if isinstance(stop, list) else [stop])

    def generate(self, requests: Sequence[Request]) -> list[Answer]:
        import torch
        from transformers import LogitsProcessorList

        texts = [self.chat(r) for r in requests]
        images = [[r.image] for r in requests if r.image is not None]
        inputs = self.processor(
            text=texts, **({"images": images} if images else {}), padding=True, return_tensors="pt"
        ).to(self.device)
        if "pixel_values" in inputs:
            inputs["pixel_values"] = inputs["pixel_values"].to(self.dtype)
        extra = {}
        if self.temperature > 0:
            extra["logits_processor"] = LogitsProcessorList(
                [self.row_sampler([r.key for r in requests])]
            )
        with torch.inference_mode():
            out = self.model.generate(
                **inputs,
                max_new_tokens=self.max_new_tokens,
                do_sample=False,
                pad_token_id=self.processor.tokenizer.pad_token_id,
                **extra,
            )
        return [self.answer(ids) for ids in out[:, inputs["input_ids"].shape[1] :].tolist()]

    def chat(self, request: Request) -> str:
        content = [{"type": "image"}] if request.image is not None else []
        message = {"role": "user", "content": [*content, {"type": "text", "text": request.prompt}]}
        return self.processor.apply_chat_template(
            [message], add_generation_prompt=True, tokenize=False
        )

    def answer(self, ids: list[int]) -> Answer:
        end = next((i for i, token in enumerate(ids) if token in self.stop_ids), None)
        kept = ids if end is None else ids[:end]
        text = self.processor.tokenizer.decode(kept, skip_special_tokens=True).strip()
        return Answer(text, "length" if end is None else "stop", len(kept))

    def row_sampler(self, keys: list[str]) -> Any:
        """Samples by the Gumbel-max trick, so that a row's text does not depend on the rows beside
        it.

        argmax(log p + g), with g a Gumbel noise of the row's own stream, is a draw from p (Gumbel
        1954).
        """
        import torch
        from transformers import TemperatureLogitsWarper, TopPLogitsWarper

        streams = [
            torch.Generator(self.device).manual_seed(row_chance(k, self.seed, "caption") >> 1)
            for k in keys
        ]
        warm, top = (
            TemperatureLogitsWarper(self.temperature),
            TopPLogitsWarper(self.top_p) if self.top_p < 1 else None,
        )

        def draw(input_ids: Any, scores: Any) -> Any:
            scores = warm(input_ids, scores.float())
            scores = top(input_ids, scores) if top else scores
            noise = torch.stack(
                [torch.rand(scores.shape[1], generator=g, device=self.device) for g in streams]
            )
            return scores.log_softmax(-1) - torch.log(-torch.log(noise.clamp(1e-20, 1 - 1e-7)))

        return draw
