"""Requests as a model's inputs: its own chat template, rendered and tokenised in one step."""

import inspect
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from pairmill.captioners.engine import Message, Request
from pairmill.captioners.reasoning import MESSAGE, OPEN
from pairmill.captioners.trial import Trial, try_out

SHORTEST = 3
"""Characters of the shortest control token that is looked for in texts."""
DATE, TODAY = "strftime_now", datetime(2026, 1, 1)
"""What templates ask for the date, and what they are told: values must not depend on the day."""
PARTS_OF_DATES = "%d %-d %m %b %B %y %Y %a %A %H %I %M %S %p %j %F"
WRITE_IMAGES = ("ChameleonProcessor",)
"""Without a template, whose examples write the image's token into the prompt, at its end."""
PLACES = ("image_token", "img_pad_token", "boi_token", "video_token", "audio_token")
"""What processors call the tokens that they count and put pictures, films or sounds in place of."""
ENDING = 24
"""Tokens at the end of a prompt in which a thought may be opened."""


class Chat:
    """Turns requests into inputs of a processor (or of a tokenizer, for a model without images).

    Families without a chat template (PaliGemma, Florence-2, BLIP-2) take the prompt as it is, as
    their own examples do.  How control tokens in texts are made plain is tried at load.
    """

    def __init__(
        self, stage: str, processor: Any, options: dict[str, Any], padding_side: str = "left"
    ) -> None:
        self.stage, self.processor, self.options = stage, processor, options
        self.tokenizer = getattr(processor, "tokenizer", processor)
        self.tokenizer.padding_side = padding_side
        give_padding(self.tokenizer)
        self.sees = hasattr(processor, "image_processor")
        self.listed = self.sees
        """Whether a turn's content is a list of parts, or a text."""
        self.template = template_of(processor)
        self.controls = control_tokens(processor, self.template)
        self.places = [c for c in self.controls if c in places_of_pictures(processor)]
        arguments = inspect.signature(processor.apply_chat_template).parameters
        self.sanitises = bool(self.template) and "sanitize_control_tokens" in arguments
        self.nested = "processor_kwargs" in arguments
        self.breaks = not self.template
        self.warning = ""
        self.given = {**options, **own_template(processor, str(options.get("chat_template", "")))}

    def try_out(
        self, images: int, system: bool, text_first: bool = False, examples: bool = False
    ) -> None:
        """Answers a trial request; raises StageBroken where the model cannot be asked like this."""
        self.warning = try_out(self, Trial(images, system, text_first, examples))

    def hostile(self) -> str:
        """A text with up to 200 of the model's control tokens, which must all come out as plain
        text.
        """
        return "plain " + " ".join(self.controls[:200])

    def control_counts(self, ids: Sequence[int]) -> Counter[int]:
        """How often each control token stands in a prompt."""
        controls = {self.tokenizer.convert_tokens_to_ids(c) for c in self.controls}
        return Counter(token for token in ids if token in controls)

    def neutral(self, text: str) -> str:
        """Where the tokenizer cannot be told to read control tokens as plain text, a space breaks
        them: `<image>` becomes `< image>`.
        """
        return broken(text, self.controls) if self.breaks else text

    def encode(self, requests: Sequence[Request]) -> Any:
        """The inputs of a batch, padded to one length."""
        if not self.template:
            return self.plain(requests)
        options: dict[str, Any] = {**self.given}
        if self.sanitises:
            options["sanitize_control_tokens"] = True
        if self.nested:
            options["processor_kwargs"] = {"padding": True}
        else:
            options["padding"] = True
        return self.processor.apply_chat_template(
            [[self.turn(m) for m in r.messages] for r in requests],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            **options,
        )

    def tokens(self, request: Request) -> list[int]:
        """A request's prompt by the chat template, for engines that make pictures ready themselves:
        where a picture belongs stands what the template writes there, once.
        """
        whole = getattr(self.processor, "chat_template", None)
        options: dict[str, Any] = {**({"chat_template": whole} if isinstance(whole, str) else {})}
        options |= self.given
        if self.sanitises:
            options["sanitize_control_tokens"] = True
        found = self.tokenizer.apply_chat_template(
            [self.turn(m) for m in request.messages],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=False,
            **options,
        )
        return self.with_special(found)

    def with_special(self, ids: list[int]) -> list[int]:
        """A prompt with the tokens that a processor puts around it where the template writes no
        beginning, and a tokenizer alone does not.
        """
        begin = self.tokenizer.bos_token_id
        if self.tokenizer is self.processor or (begin is not None and ids[:1] == [begin]):
            return list(ids)
        bare = self.tokenizer("a", add_special_tokens=False)["input_ids"]
        whole = self.tokenizer("a")["input_ids"]
        at = next((i for i, _ in enumerate(whole) if whole[i : i + len(bare)] == bare), 0)
        return [*whole[:at], *ids, *whole[at + len(bare) :]]

    def turn(self, message: Message) -> dict[str, Any]:
        """A message as the chat template takes it.  Its author's control tokens stay, but for those
        that stand for pictures, which would be counted as such.
        """
        if self.breaks:
            message = replace(message, text=broken(message.text, self.places))
        if not self.listed:
            return {"role": message.role, "content": message.text}
        pictures = [{"type": "image", "image": image} for image in message.images]
        return {"role": message.role, "content": message.parts(pictures)}

    def plain(self, requests: Sequence[Request]) -> Any:
        """Inputs without a template: prompt and images, as the processor takes them; turns that
        ask for another answer stand behind the prompt.
        """
        texts = ["\n".join(m.text for m in r.messages) for r in requests]
        if not self.sees:
            return self.processor(texts, padding=True, return_tensors="pt")
        images = [r.images() for r in requests]
        if type(self.processor).__name__ in WRITE_IMAGES:
            mark = str(self.processor.image_token)
            texts = [text + mark * len(one) for text, one in zip(texts, images, strict=True)]
        several = any(len(one) > 1 for one in images)
        pictures = images if several else [image for one in images for image in one]
        given = {"images": pictures} if pictures else {}
        return self.processor(text=texts, padding=True, return_tensors="pt", **given)

    def thinks(self, ids: Sequence[int]) -> bool:
        """Whether a prompt ends in the middle of a thought, as some templates make it."""
        end = str(self.tokenizer.decode(ids[-ENDING:])).rstrip()
        return end.endswith((*OPEN, f"analysis{MESSAGE}"))


def template_of(processor: Any) -> str:
    """The chat template of the processor or its tokenizer, all of them where they are several;
    empty where there is none.
    """
    tokenizer = getattr(processor, "tokenizer", processor)
    own = getattr(processor, "chat_template", None) or getattr(tokenizer, "chat_template", None)
    return str(own or "")


def own_template(processor: Any, name: str) -> dict[str, str]:
    """What a template is given as where it has to be: one that only the tokenizer brings, or one
    that asks for the date, which is always the same.
    """
    tokenizer = getattr(processor, "tokenizer", processor)
    own = getattr(processor, "chat_template", None)
    every = own or getattr(tokenizer, "chat_template", None)
    found = every.get(name or "default") if isinstance(every, dict) else name or every
    if not found or (own and DATE not in found):
        return {}
    if DATE in found:
        parts = "".join(f"|replace('{p}', '{TODAY:{p}}')" for p in PARTS_OF_DATES.split())
        found = f"{{% macro {DATE}(form) %}}{{{{ form{parts} }}}}{{% endmacro %}}{found}"
    return {"chat_template": found}


def give_padding(tokenizer: Any, rows: int | None = None) -> None:
    """A token to pad with where the checkpoint names none, or one that the model has no row for
    among its `rows` of embeddings; no model sees it.
    """
    pad, eos = tokenizer.pad_token_id, tokenizer.eos_token_id
    if pad is None or (rows is not None and pad >= rows):
        has_eos = eos is not None and (rows is None or eos < rows)
        first = tokenizer.convert_ids_to_tokens(0)
        tokenizer.pad_token = tokenizer.eos_token if has_eos else first


def control_tokens(processor: Any, template: str) -> list[str]:
    """Texts that the model reads as control tokens, the longest first."""
    tokenizer = getattr(processor, "tokenizer", processor)
    found = {
        token.content
        for token in tokenizer.added_tokens_decoder.values()
        if token.special or token.content in template or token.content[:1] in "<["
    }
    for name, value in vars(processor).items():
        if name.endswith("_token"):
            found.add(str(getattr(value, "content", value) or ""))
    long = {t for t in found if len(t) >= SHORTEST and not t.isspace()}
    return sorted(long, key=lambda t: (-len(t), t))


def places_of_pictures(processor: Any) -> set[str]:
    """Tokens in whose place a processor puts pictures, films or sounds."""
    both = (processor, getattr(processor, "tokenizer", processor))
    found = (getattr(one, name, None) for one in both for name in PLACES)
    return {str(getattr(token, "content", token)) for token in found if token is not None}


def broken(text: str, tokens: Sequence[str]) -> str:
    """A text with a space within each of the tokens."""
    for token in tokens:
        if token in text:
            text = text.replace(token, f"{token[0]} {token[1:]}")
    return text
