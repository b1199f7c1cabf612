"""Requests as a model's inputs: its own chat template, rendered and tokenised in one step."""

import inspect
from collections import Counter
from collections.abc import Sequence
from typing import Any

from PIL import Image

from pairmill.captioners.engine import Message, Request
from pairmill.errors import StageBroken, first_line

SHORTEST = 3
"""Characters of the shortest control token that is looked for in texts."""
SAME_PLACE = "the model's own form puts images where it did without `text_first`"


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
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self.sees = hasattr(processor, "image_processor")
        self.template = has_template(processor)
        self.controls = control_tokens(processor)
        arguments = inspect.signature(processor.apply_chat_template).parameters
        self.sanitises = self.template and "sanitize_control_tokens" in arguments
        self.nested = "processor_kwargs" in arguments
        self.breaks = not self.template
        self.warning = ""

    def try_out(self, images: int, system: bool, text_first: bool = False) -> None:
        """Answers a trial request; raises StageBroken where the model cannot be asked like this."""
        grey = tuple(Image.new("RGB", (80, 60), (90, 120, 150)) for _ in range(images))
        turns = [Message("system", "marvellous-system")] if system else []

        def ids(text: str, first: bool = text_first) -> list[int]:
            request = Request((*turns, Message("user", text, grey, first)))
            return [int(token) for token in self.encode([request])["input_ids"][0]]

        def counts(text: str) -> Counter[int]:
            return self.control_counts(ids(text))

        try:
            if self.sanitises:
                try:
                    self.sanitises = counts("plain") == counts(self.hostile())
                except Exception:  # processors with a call of their own raise many kinds
                    self.sanitises = False
            self.breaks = not self.sanitises
            if self.breaks:
                plain = counts("plain")
                if plain != counts(self.neutral(self.hostile())):
                    self.warning = "control tokens in texts reach the model"
            if text_first and images and ids("plain") == ids("plain", False):
                self.warning = ", ".join(filter(None, (self.warning, SAME_PLACE)))
        except StageBroken:
            raise
        except Exception as error:  # templates and processors raise many kinds
            kind = f"{'a system turn, ' if system else ''}{images} image(s) and a text"
            raise StageBroken(
                f"stage {self.stage!r}: the model's chat template or processor does not take "
                f"{kind}: "
                f"{type(error).__name__}: {first_line(error)}"
            ) from error

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
        if self.breaks:
            for token in self.controls:
                if token in text:
                    text = text.replace(token, f"{token[0]} {token[1:]}")
        return text

    def encode(self, requests: Sequence[Request]) -> Any:
        """The inputs of a batch, padded to one length."""
        if not self.template:
            return self.plain(requests)
        options: dict[str, Any] = {**self.options}
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

    def turn(self, message: Message) -> dict[str, Any]:
        """A message as the chat template takes it: the bare text for a model without images."""
        if not self.sees:
            return {"role": message.role, "content": message.text}
        pictures = [{"type": "image", "image": image} for image in message.images]
        return {"role": message.role, "content": message.parts(pictures)}

    def plain(self, requests: Sequence[Request]) -> Any:
        """Inputs without a template: prompt and images, as the processor takes them."""
        if any(m.role == "system" for r in requests for m in r.messages):
            raise StageBroken(
                f"stage {self.stage!r}: this model has no chat template, and so no system turn; "
                "write it into `prompt`"
            )
        texts = [r.messages[-1].text for r in requests]
        if not self.sees:
            return self.processor(texts, padding=True, return_tensors="pt")
        images = [r.images() for r in requests]
        several = any(len(one) > 1 for one in images)
        pictures = images if several else [image for one in images for image in one]
        given = {"images": pictures} if pictures else {}
        return self.processor(text=texts, padding=True, return_tensors="pt", **given)

    def thinks(self, ids: Sequence[int]) -> bool:
        """Whether a prompt ends in the middle of a thought, as some templates make it."""
        return str(self.tokenizer.decode(ids[-8:])).rstrip().endswith(("<think>", "[THINK]"))


def has_template(processor: Any) -> bool:
    """Whether the processor or its tokenizer brings a chat template."""
    tokenizer = getattr(processor, "tokenizer", None)
    return bool(
        getattr(processor, "chat_template", None) or getattr(tokenizer, "chat_template", None)
    )


def control_tokens(processor: Any) -> list[str]:
    """Texts that the model reads as control tokens, the longest first."""
    tokenizer = getattr(processor, "tokenizer", processor)
    template = getattr(processor, "chat_template", None) or tokenizer.chat_template or ""
    template = template if isinstance(template, str) else str(template)
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
