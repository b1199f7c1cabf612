import asyncio
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar

import torch
from transformers import AutoModelForImageTextToText, AutoProcessor


class EngineDeadError(Exception):
    pass


class VLLMClientError(Exception):
    pass


class EngineGenerateError(Exception):
    pass


@dataclass
class Output:
    token_ids: list[int]
    finish_reason: str
    logprobs: list[dict[int, Any]] | None = None
    stop_reason: str | int | None = None


class Renderer:
    async def render_cmpl_async(self, prompts: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**prompt, "rendered": True} for prompt in prompts]


class AsyncLLM:
    made: ClassVar[list["AsyncLLM"]] = []

    def __init__(self, args: Any) -> None:
        self.args, self.errored, self.ended = args, False, False
        self.asked: list[Any] = []
        """Sampling parameters of each request."""
        self.model = AutoModelForImageTextToText.from_pretrained(args.model)
        self.processor = AutoProcessor.from_pretrained(args.model)
        config = SimpleNamespace(dtype=self.model.dtype)
        self.vllm_config = SimpleNamespace(model_config=config)
        self.turn = asyncio.Lock()
        self.renderer = Renderer()
        self.loras: list[Any] = []
        AsyncLLM.made.append(self)

    @classmethod
    def from_engine_args(cls, args: Any) -> "AsyncLLM":
        return cls(args)

    def shutdown(self, timeout: float | None = None) -> None:
        self.ended = True

    async def add_lora(self, request: Any) -> bool:
        if "broken" in request.lora_path:
            raise ValueError("rank 7 is not supported")
        self.loras.append(request)
        return True

    async def generate(
        self, prompt: dict[str, Any], params: Any, request_id: str, lora_request: Any = None
    ) -> AsyncIterator[Any]:
        self.asked.append(params)
        assert prompt["rendered"]
        assert lora_request in (self.loras or [None])
        ids = prompt["prompt_token_ids"]
        text = self.processor.tokenizer.decode(ids)
        if "poison" in text:
            await asyncio.sleep(0.05)  # others are under way
            self.errored = True
        if "engine trouble" in text:
            yield SimpleNamespace(outputs=[Output([], "error")], prompt_token_ids=ids)
            return
        if "odd" in text:
            raise EngineGenerateError from KeyError("what no one foresaw")
        if params.structured_outputs is not None:
            raise VLLMClientError("Failed to compile the grammar")
        if self.args.max_model_len and len(ids) > self.args.max_model_len:
            raise VLLMClientError(f"The prompt (length {len(ids)}) is longer than the model takes")
        async with self.turn:
            if self.errored:
                raise EngineDeadError
            images = prompt.get("multi_modal_data", {}).get("image", [])
            found = await asyncio.to_thread(self.answer, ids, images, params)
        if self.errored:
            raise EngineDeadError
        yield found

    def answer(self, ids: list[int], images: list[Any], params: Any) -> Any:
        place, pixels = self.processor.image_token_id, {}
        assert ids.count(place) == len(images)
        if images:
            marks = "".join([self.processor.image_token] * len(images))
            inputs = self.processor(images=images, text=marks, return_tensors="pt")
            pixels = {"pixel_values": inputs["pixel_values"]}
            each = inputs["input_ids"][0].tolist().count(place) // len(images)
            ids = [t for token in ids for t in ([token] * each if token == place else [token])]
        drawn = {"do_sample": True, "temperature": params.temperature, "top_p": params.top_p}
        torch.manual_seed(params.seed or 0)
        out = self.model.generate(
            input_ids=torch.tensor([ids]),
            attention_mask=torch.ones(1, len(ids), dtype=torch.long),
            max_new_tokens=params.max_tokens,
            eos_token_id=params.stop_token_ids,
            return_dict_in_generate=True,
            output_logits=True,
            **pixels,
            **(drawn if params.temperature else {"do_sample": False}),
        )
        new = out.sequences[0, len(ids) :].tolist()
        logprobs = None
        if params.logprobs is not None:
            steps = [step[0].log_softmax(-1) for step in out.logits]
            logprobs = [
                {token: SimpleNamespace(logprob=float(step[token]))}
                for token, step in zip(new, steps, strict=True)
            ]
        reason = "stop" if new[-1] in params.stop_token_ids else "length"
        assert not logprobs or all(math.isfinite(o.logprob) for s in logprobs for o in s.values())
        output = Output(new, reason, logprobs)
        return SimpleNamespace(outputs=[output], prompt_token_ids=ids)
