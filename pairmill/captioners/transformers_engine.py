"""Answers by any image-text-to-text or text model of `transformers`, through its own chat
template.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from pairmill.captioners.chat import Chat, give_padding
from pairmill.captioners.engine import Answer, Request, Sampling
from pairmill.captioners.steps import BestScores, TokenLogprobs, check_taken
from pairmill.captioners.token_answers import TokenAnswers, ending_tokens
from pairmill.errors import RowError
from pairmill.free_memory import free_bytes
from pairmill.models.check import check_sees
from pairmill.models.finite import Finite
from pairmill.models.kinds import ONE_PICTURE, check_number
from pairmill.models.lean_images import without_copies
from pairmill.models.load import Spec, load
from pairmill.models.mended import sees_padding
from pairmill.models.sizes import batch_bytes
from pairmill.models.vocabulary import context_of, rows_of
from pairmill.schemas.hashing import row_chance
from pairmill.torch_device import Room, in_halves, is_out_of_memory

SEES = ("AutoModelForImageTextToText", "AutoModelForMultimodalLM")
READS = (*SEES, "AutoModelForSeq2SeqLM", "AutoModelForCausalLM")
UNPADDED = ("blip", "rwkv", "kosmos-2", "kosmos-2.5")
"""Types of models that count places from a row's first token, be it padding, or read padding as
they read words: a batch of theirs has prompts of one length.  (`sees_padding` knows others.)
"""
UNPADDED_IMAGES = ("emu3",)
"""Types of models that see the border which a smaller image of a batch gets."""
ALONE = ("hunyuan_vl",)
"""Types of models that count a batch's images through, so that a row with a picture depends on its
place in the batch (transformers 5.23).
"""
ALIKE_IN_NUMBER = ("mllama",)
"""Types of models to which the pictures are not all the same that fill up a row which has fewer
than others of its batch (transformers 5.23).
"""
OWN_STEPS = ("janus",)
"""Types of models whose own `generate`, which draws pictures, too, leaves out the steps that it is
given (transformers 5.23): that of all others writes texts just the same.
"""
OF_FREE_MEMORY = 0.75
"""Part of what is free once a model is loaded that its batches may take together."""
PROBE_TOKENS = 64
"""Tokens of the prompt with which precisions are compared at load."""


@dataclass(frozen=True)
class Begun:
    """Requests, and the inputs made of them."""

    requests: Sequence[Request]
    inputs: Any


class TransformersCaptioner:
    """Loads the model once; greedy with `temperature` 0, else every row draws from its own seeded
    stream.
    """

    def __init__(
        self,
        stage: str,
        spec: Spec,
        sampling: Sampling,
        images: int = 1,
        system: bool = False,
        text_first: bool = False,
        examples: bool = False,
        batch_size: int = 1,
    ) -> None:
        self.stage, self.sampling = stage, sampling
        self.loaded = load(stage, spec, SEES if images else READS, "AutoProcessor", probe)
        if images:
            check_sees(stage, spec, self.loaded.processor)
        without_copies(getattr(self.loaded.processor, "image_processor", None))
        self.type = self.loaded.model.config.model_type
        check_number(stage, spec, self.type, images)
        # An encoder counts places from the left; a decoder goes on at the right.
        self.encodes = bool(self.loaded.model.config.is_encoder_decoder)
        side = "right" if self.encodes else "left"
        self.chat = Chat(stage, self.loaded.processor, sampling.chat_template_kwargs, side)
        self.tokenizer = self.chat.tokenizer
        give_padding(self.tokenizer, rows_of(self.loaded.model.config))
        self.chat.try_out(images, system, text_first, examples)
        self.generation, stop_ids = plain_generation(
            self.loaded.model, self.tokenizer, sampling.max_new_tokens
        )
        self.longest = context_of(self.loaded.model.config, sampling.max_new_tokens)
        self.finite, self.room = Finite.of(stage, spec.model, self.loaded), Room()
        most = self.loaded.at_once if self.loaded.twins else 1
        needed = batch_bytes(self.loaded.model.config, batch_size, sampling.max_new_tokens)
        fitting = int(free_bytes() * OF_FREE_MEMORY / max(1, needed)) if most > 1 else most
        self.streams = max(1, min(most, fitting))
        self.answers = TokenAnswers(self.tokenizer, stop_ids)

    @property
    def note(self) -> str:
        return self.room.note(", ".join(filter(None, (self.loaded.note, self.chat.warning))))

    def neutral(self, text: str) -> str:
        return self.chat.neutral(text)

    def begin(self, requests: Sequence[Request]) -> Begun:
        if self.type in ONE_PICTURE and (most := max(len(r.images()) for r in requests)) > 1:
            raise RowError(  # the one row's, once a batch is halved down to it
                "several_images",
                f"the model looks at one picture a prompt, and the row has {most}",
            )
        with self.loaded.words_lock:
            return Begun(requests, self.chat.encode(requests))

    def answer(self, begun: Begun) -> list[Answer | RowError]:
        def work(part: list[Request]) -> list[Answer | RowError]:
            whole = len(part) == len(begun.requests)
            try:
                answers = self.generate(begun if whole else self.begin(part))
            except (RuntimeError, MemoryError) as error:
                if len(part) > 1 or not is_out_of_memory(error):
                    raise
                return [self.room.failed(self.stage, error)]
            self.room.answered = True
            return answers

        lengths = begun.inputs["attention_mask"].sum(1).tolist()
        if self.longest is not None and max(lengths) > self.longest:
            return self.without_long(begun, lengths, self.longest)
        apart = self.apart(begun)
        if len(set(apart)) > 1:
            return self.by_kind(begun, apart)
        return in_halves(work, list(begun.requests), self.room)

    def without_long(
        self, begun: Begun, lengths: Sequence[int], longest: int
    ) -> list[Answer | RowError]:
        """As `answer`, where some prompts are longer than the model reads, which would be answered
        with nonsense, or end a GPU's work.
        """
        short = [row for row, length in enumerate(lengths) if length <= longest]
        answers: dict[int, Answer | RowError] = {
            row: RowError("too_long", f"a prompt of {length} tokens; the model reads {longest}")
            for row, length in enumerate(lengths)
        }
        if short:
            part = self.begin([begun.requests[row] for row in short])
            answers.update(zip(short, self.answer(part), strict=True))
        return [answers[row] for row in range(len(lengths))]

    def apart(self, begun: Begun) -> list[Hashable]:
        """For each row, what those have to be equal in that may be answered together."""
        lengths = begun.inputs["attention_mask"].sum(1).tolist()
        if self.type in UNPADDED or sees_padding(self.type, self.encodes):
            return list(lengths)
        if self.type in ALIKE_IN_NUMBER:
            return [len(request.images()) for request in begun.requests]
        if self.type in ALONE and begun.requests[0].images():
            return list(range(len(lengths)))
        if self.type in UNPADDED_IMAGES and "image_sizes" in begun.inputs:
            sizes = iter(begun.inputs["image_sizes"].tolist())
            return [tuple(map(tuple, islice(sizes, len(r.images())))) for r in begun.requests]
        return [None] * len(lengths)

    def by_kind(self, begun: Begun, apart: Sequence[Hashable]) -> list[Answer | RowError]:
        """As `answer`, in batches of rows that are equal in `apart`."""
        answers: dict[int, Answer | RowError] = {}
        for kind in dict.fromkeys(apart):
            rows = [row for row, one in enumerate(apart) if one == kind]
            part = self.begin([begun.requests[row] for row in rows])
            answers.update(zip(rows, self.answer(part), strict=True))
        return [answers[row] for row in range(len(apart))]

    def generate(self, begun: Begun) -> list[Answer | RowError]:
        """One answer a request, in order, with the tokens of its prompt counted without padding."""
        import torch
        from transformers import GenerationMixin, LogitsProcessorList

        device, dtype = self.loaded.device, self.loaded.dtype
        inputs = {
            name: value.to(device, dtype if dtype and value.is_floating_point() else value.dtype)
            if hasattr(value, "to")
            else value
            for name, value in begun.inputs.items()
            if name != "labels"
        }
        best, watch = BestScores(), TokenLogprobs() if self.sampling.logprobs else None
        steps: list[Any] = [best, watch] if watch else [best]  # before anything is drawn
        if self.sampling.temperature > 0:
            steps.append(self.row_sampler([r.key for r in begun.requests]))
        with torch.inference_mode(), self.loaded.alone() as model:
            written_by = GenerationMixin if self.type in OWN_STEPS else type(model)
            out = written_by.generate(
                model,
                **inputs,
                generation_config=self.generation,
                logits_processor=LogitsProcessorList(steps),
            )
        check_taken(self.stage, best, self.sampling)
        prompts = inputs["input_ids"]
        begin = self.first_new(out, prompts)
        asked = begun.inputs["attention_mask"].sum(1).tolist()
        sure = watch.of(out) if watch else [()] * len(asked)
        answers = zip(out[:, begin:].tolist(), prompts.tolist(), asked, sure, strict=True)
        full = []
        for ids, prompt, count, logprobs in answers:
            answer = self.answers.answer(ids, self.chat.thinks(prompt))
            known = tuple(logprobs[: answer.tokens]) or None
            full.append(replace(answer, prompt_tokens=count, logprobs=known))
        errors = self.finite.judged(best.finite([answer.tokens or 0 for answer in full]))
        pairs = zip(full, errors, strict=True)
        return [RowError(*error) if error else answer for answer, error in pairs]

    def first_new(self, out: Any, prompts: Any) -> int:
        """Where the answer begins: models give the prompt back, encoder–decoders a start token,
        some neither.
        """
        length = prompts.shape[1]
        if self.encodes:
            start = self.generation.decoder_start_token_id
            return int(start is not None and bool((out[:, 0] == start).all()))
        same = out.shape[1] >= length and bool((out[:, :length] == prompts).all())
        return length if same else 0

    def row_sampler(self, keys: list[str]) -> Callable[[Any, Any], Any]:
        """Samples by the Gumbel-max trick, so that a row's text does not depend on the rows beside
        it.

        argmax(log p + g), with g a Gumbel noise of the row's own stream, is a draw from p (Gumbel
        1954).
        """
        import torch
        from transformers import TemperatureLogitsWarper, TopPLogitsWarper

        s = self.sampling
        streams = [
            torch.Generator(self.loaded.device).manual_seed(row_chance(k, s.seed, "caption") >> 1)
            for k in keys
        ]
        warm = TemperatureLogitsWarper(s.temperature)
        top = TopPLogitsWarper(s.top_p) if s.top_p < 1 else None

        def draw(input_ids: Any, scores: Any) -> Any:
            scores = warm(input_ids, scores.float())
            scores = top(input_ids, scores) if top else scores
            noise = torch.stack(
                [torch.rand(scores.shape[1], generator=g, device=g.device) for g in streams]
            )
            return scores.log_softmax(-1) - torch.log(-torch.log(noise.clamp(1e-20, 1 - 1e-7)))

        return draw


def plain_generation(model: Any, tokenizer: Any, max_new_tokens: int) -> tuple[Any, set[int]]:
    """(generation config, tokens that end an answer).

    Of the checkpoint's own generation config only token ids are taken: its beams, penalties, stop
    strings and number of sequences would decide values that the pipeline says nothing of.
    """
    from transformers import GenerationConfig

    given = getattr(model, "generation_config", None)
    ids = {
        name: value
        for name, value in (given.to_dict() if given is not None else {}).items()
        if name.endswith("_token_id") and value is not None
    }
    model.generation_config = GenerationConfig(**ids)
    plain = GenerationConfig(**ids, max_new_tokens=max_new_tokens, do_sample=False)
    if plain.eos_token_id is None:
        plain.eos_token_id = tokenizer.eos_token_id
    plain.pad_token_id = tokenizer.pad_token_id
    return plain, ending_tokens(plain, tokenizer)


def probe(model: Any, processor: Any, device: str, dtype: Any) -> Callable[[], Any]:
    """A forward pass over a text, the greater part of a caption's work."""
    import torch

    tokenizer = getattr(processor, "tokenizer", processor)
    ids = torch.full((4, PROBE_TOKENS), tokenizer.encode("a")[-1], device=device)
    inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = ids[:, :8]

    def work() -> None:
        with torch.inference_mode():
            model(**inputs)

    return work
