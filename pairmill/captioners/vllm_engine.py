"""`engine: vllm`: vLLM's asynchronous engine in the worker, in an environment that holds both."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from pairmill.captioners.chat import Chat
from pairmill.captioners.engine import Answer, Request, Sampling
from pairmill.captioners.token_answers import TokenAnswers, ending_tokens
from pairmill.captioners.vllm_core import Asked, VllmCore
from pairmill.captioners.vllm_options import (
    adapter_folder,
    check_adapter,
    check_installed,
    engine_arguments,
    sampling_maker,
)
from pairmill.errors import RowError, StageBroken
from pairmill.models.check import check_sees, check_whole_folder, described
from pairmill.models.files import checkpoint_folder, read_json
from pairmill.models.kinds import check_languages
from pairmill.models.load import Spec, load_processor
from pairmill.schemas.hashing import row_chance

ENDED = ("stop", "length", "repetition")
"""Reasons for which an answer ends; with others it is none."""


def names_grammar(said: str) -> bool:
    """Whether a refusal is about the form of the answer that was asked for."""
    return any(word in said.lower() for word in ("grammar", "schema", "structured output"))


class VllmEngine:
    """A stage's view of an engine: prompts by the model's own chat template, tokenised here, with
    control tokens in texts made plain; pictures as they are, without a loss.
    """

    structured = True

    def __init__(self, stage: str, config: Any, images: int, system: bool, cpus: float) -> None:
        check_installed()
        self.stage, self.config, self.spec = stage, config, config.spec(cpus)
        self.sampling: Sampling = config.sampling()
        folder = checkpoint_folder(
            self.spec.model, self.spec.revision, code=self.spec.trust_remote_code
        )
        self.chat = chat_of(stage, config, self.spec, folder, images, system)
        stop = ending_ids(folder, self.chat.tokenizer)
        self.answers = TokenAnswers(self.chat.tokenizer, stop)
        s = self.sampling
        common = {"max_tokens": s.max_new_tokens, "temperature": s.temperature, "top_p": s.top_p}
        common |= {"stop_token_ids": sorted(stop), "logprobs": 0 if s.logprobs else None}
        self.params = sampling_maker(stage, common, dict(config.extra_body))
        given = config.engine_arguments
        arguments = engine_arguments(self.spec, given, self.chat.sees, config.resources.gpus)
        adapter = adapter_folder(self.spec) if self.spec.adapter else None
        self.core = VllmCore.hold(stage, arguments, given, adapter)
        self.writers = ThreadPoolExecutor(1, "prompt")  # a tokenizer fails in two threads at once

    @property
    def note(self) -> str:
        """The model's precision and place, and how often the engine was started."""
        found = self.core.engine
        told = getattr(getattr(found, "vllm_config", None), "model_config", None)
        dtype = str(getattr(told, "dtype", self.spec.dtype)).removeprefix("torch.")
        again = f"started {self.core.lives} times" if self.core.lives > 1 else ""
        return ", ".join(filter(None, (f"vLLM, {dtype}", again, self.chat.warning)))

    def neutral(self, text: str) -> str:
        """As the chat makes control tokens plain."""
        return self.chat.neutral(text)

    async def answer(self, request: Request) -> Answer:
        """The row's answer; RowError `server_died` where it ends engines alone, `request` where
        vLLM does not take it.
        """
        loop = asyncio.get_running_loop()
        prompt = await loop.run_in_executor(self.writers, self.prompt, request)
        s = self.sampling
        seed = row_chance(request.key, s.seed, "caption") % 2**31 if s.temperature > 0 else None
        schema = dict(request.schema) if request.schema is not None and self.structured else None
        if schema is not None and self.chat.thinks(prompt.get("prompt_token_ids", [])):
            schema = None  # bound to it, the model could not end its thought
        try:
            outcome = await self.outcome(Asked(prompt, self.params(seed, schema)))
        except RowError as error:
            if schema is None or not names_grammar(str(error)):
                raise
            self.structured = False  # who asks checks the answer
            outcome = await self.outcome(Asked(prompt, self.params(seed, None)))
        return await loop.run_in_executor(self.writers, self.read, outcome)

    async def outcome(self, asked: Asked) -> Any:
        """vLLM's RequestOutput; raises RowError where it gave the request up."""
        outcome = await self.core.asked(asked)
        (found,) = outcome.outputs
        if found.finish_reason in ENDED:
            return outcome
        why = found.stop_reason if isinstance(found.stop_reason, str) else ""
        bound = asked.sampling.structured_outputs is not None
        hint = " (it may not compile the grammar of the schema)" if bound else ""
        raise RowError("request", f"vLLM gave it up: {found.finish_reason} {why}{hint}".strip())

    def prompt(self, request: Request) -> dict[str, Any]:
        """The request as vLLM takes it: tokens, with one for each picture, and the pictures."""
        images = request.images()
        given: dict[str, Any] = {"multi_modal_data": {"image": images}} if images else {}
        if self.chat.template:
            return {"prompt_token_ids": self.chat.tokens(request), **given}
        return {"prompt": "\n".join(m.text for m in request.messages), **given}

    def read(self, outcome: Any) -> Answer:
        """An answer out of vLLM's RequestOutput."""
        (found,) = outcome.outputs
        asked = list(outcome.prompt_token_ids or ())
        ids = list(found.token_ids)
        answer = self.answers.answer(ids, self.chat.thinks(asked))
        known = None
        if found.logprobs:
            steps = zip(ids, found.logprobs, strict=True)
            known = tuple(step[token].logprob for token, step in steps)[: answer.tokens] or None
        ended = "stop" if found.finish_reason == "stop" else answer.finish_reason
        return replace(answer, finish_reason=ended, prompt_tokens=len(asked), logprobs=known)

    def abandon(self) -> None:
        """Ends the engine at once, in any thread; what was at it neither is answered nor fails."""
        self.core.abandon()

    async def close(self) -> None:
        """Ends the engine where no other stage of the worker holds it."""
        self.writers.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self.core.leave)


def chat_of(stage: str, config: Any, spec: Spec, folder: str, images: int, system: bool) -> Chat:
    """The model's chat, tried out; raises StageBroken where it cannot be asked like this."""
    processor = load_processor(stage, folder, spec, "AutoProcessor")
    if images:
        check_sees(stage, spec, processor)
    chat = Chat(stage, processor, config.sampling().chat_template_kwargs)
    chat.try_out(images, system, config.text_first, bool(config.examples))
    if read_json(folder, "config.json").get("is_encoder_decoder"):
        raise StageBroken(
            f"stage {stage!r}: {spec.model!r} is an encoder with a decoder; take `engine: "
            "transformers` for it"
        )
    return chat


def ending_ids(folder: str, tokenizer: Any) -> set[int]:
    """Tokens that end an answer, by the checkpoint's generation config."""
    from transformers import GenerationConfig

    given = read_json(folder, "generation_config.json")
    return ending_tokens(GenerationConfig(eos_token_id=given.get("eos_token_id")), tokenizer)


def check_vllm(stage: str, config: Any, images: int, system: bool, cpus: float) -> list[str]:
    """What can be said of the model before it is loaded; raises StageBroken for what would fail.
    Which architectures vLLM knows is seen when it starts.
    """
    check_installed()
    spec = config.spec(cpus)
    folder = described(stage, spec, by_transformers=False)
    chat = chat_of(stage, config, spec, folder, images, system)
    names = ("config.json", "generation_config.json")
    check_languages(stage, spec, chat.tokenizer, *(read_json(folder, name) for name in names))
    if "load_format" not in config.engine_arguments:
        check_whole_folder(stage, spec, folder)
    if spec.adapter:
        check_adapter(stage, spec)
    what = f"{spec.model}: by vLLM with {type(chat.processor).__name__}"
    way = "chat template" if chat.template else "the prompt as it is, without a chat template"
    return [what, f"asked by {way}", *filter(None, [chat.warning])]
