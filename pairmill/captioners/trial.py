"""A trial request at load: whether all that a stage says reaches the model, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from pairmill.captioners.engine import Message, Request
from pairmill.errors import StageBroken, first_line

if TYPE_CHECKING:
    from pairmill.captioners.chat import Chat

SAME_PLACE = "the model's own form puts images where it did without `text_first`"


@dataclass(frozen=True)
class Trial:
    """Prompts of a stage's kind."""

    images: int
    system: bool
    text_first: bool = False
    examples: bool = False

    def request(
        self,
        text: str = "plain",
        system: str = "marvellous-system",
        example: str = "an-example",
        pictures: bool = True,
        text_first: bool | None = None,
    ) -> Request:
        """A request with these words in its turns."""
        grey = tuple(Image.new("RGB", (80, 60), (90, 120, 150)) for _ in range(self.images))
        turns = [Message("system", system)] if self.system else []
        if self.examples:
            turns += [Message("user", example), Message("assistant", example)]
        first = self.text_first if text_first is None else text_first
        return Request((*turns, Message("user", text, grey if pictures else (), first)))

    def words(self) -> str:
        """What the requests consist of."""
        turns = ["a system turn"] if self.system else []
        turns += ["turns that show how to answer"] if self.examples else []
        return ", ".join([*turns, f"{self.images} image(s) and a text"])


def try_out(chat: Chat, trial: Trial) -> str:
    """Asks in the ways that the model may take, and sets the chat to the one that it does; returns
    a warning.  Raises StageBroken where it takes none.
    """
    if not chat.template and (trial.system or trial.examples):
        what = "system turn" if trial.system else "turns for `examples`"
        raise StageBroken(
            f"stage {chat.stage!r}: this model has no chat template, and so no {what}; write them "
            "into `prompt`"
        )
    if not chat.tokenizer("plain", add_special_tokens=False)["input_ids"]:
        raise StageBroken(
            f"stage {chat.stage!r}: the checkpoint's tokenizer knows no words; are its files "
            "(tokenizer.json, …) missing?"
        )
    chat.sanitises, sanitises = False, chat.sanitises
    find_form(chat, trial)
    if chat.template:
        check_turns(chat, trial)
    check_pictures(chat, trial)
    chat.sanitises = sanitises
    chat.sanitises = sanitises and same_controls(chat, trial, chat.hostile())
    chat.breaks = not chat.sanitises
    warnings = []
    if chat.breaks and not same_controls(chat, trial, chat.neutral(chat.hostile())):
        warnings.append("control tokens in texts reach the model")
    if trial.text_first and trial.images and same(chat, trial, text_first=False):
        warnings.append(SAME_PLACE)
    return ", ".join([*warnings, *unread(chat)])


def ids(chat: Chat, request: Request) -> list[int]:
    """The tokens of a request."""
    inputs = chat.encode([request])
    if "input_ids" not in inputs:
        raise StageBroken(
            f"stage {chat.stage!r}: the model's processor ({type(chat.processor).__name__}) makes "
            "no tokens of a prompt; take a model that is asked in words"
        )
    return [int(token) for token in inputs["input_ids"][0]]


def same(chat: Chat, trial: Trial, **other: str | bool) -> bool:
    """Whether the prompt stays as it is where its words are others."""
    return ids(chat, trial.request()) == ids(chat, trial.request(**other))  # type: ignore[arg-type]


def same_controls(chat: Chat, trial: Trial, text: str) -> bool:
    """Whether a text brings no control token more into the prompt than a plain one."""
    try:
        found = ids(chat, trial.request(text))
    except Exception:  # processors with a call of their own raise many kinds
        return False
    return chat.control_counts(ids(chat, trial.request())) == chat.control_counts(found)


def find_form(chat: Chat, trial: Trial) -> None:
    """Whether a turn's content is a text or a list of parts: templates know one of them or both,
    and write the other as Python does, or leave it out.
    """
    forms = [True] if trial.images else [chat.listed, not chat.listed]
    failure: Exception | None = None
    for listed in forms if chat.template else forms[:1]:
        chat.listed = listed
        try:
            found = ids(chat, trial.request())
            if not chat.template:
                return
            written = str(chat.tokenizer.decode(found))
            if "'type'" not in written and found != ids(chat, trial.request("another")):
                return
        except StageBroken:
            raise
        except Exception as error:  # templates and processors raise many kinds
            failure = failure or error
    chat.listed = forms[0]
    if failure is None:
        raise StageBroken(
            f"stage {chat.stage!r}: the model's chat template does not write what it is asked"
            + (
                ": it takes a turn's content as plain text alone, without a place for an image; "
                "take a template that takes lists of parts"
                if trial.images
                else " into the prompt"
            )
        )
    bare = "" if chat.template else " (the checkpoint brings no chat template)"
    raise StageBroken(
        f"stage {chat.stage!r}: the model's chat template or processor does not take "
        f"{trial.words()}{bare}: {type(failure).__name__}: {first_line(failure)}"
    ) from failure


def check_turns(chat: Chat, trial: Trial) -> None:
    """Raises StageBroken where the template leaves turns out without a word."""
    if trial.system and same(chat, trial, system="another"):
        raise StageBroken(
            f"stage {chat.stage!r}: the model's chat template leaves the system turn out; write it "
            "into `prompt`"
        )
    if trial.examples and same(chat, trial, example="another"):
        raise StageBroken(
            f"stage {chat.stage!r}: the model's chat template leaves out the turns of `examples`; "
            "write them into `prompt`"
        )


def check_pictures(chat: Chat, trial: Trial) -> None:
    """Raises StageBroken where the prompt has no place for its images."""
    place = getattr(chat.processor, "image_token_id", None)
    if not trial.images or not isinstance(place, int):
        return
    found = ids(chat, trial.request())
    try:
        without = chat.template and found == ids(chat, trial.request(pictures=False))
    except Exception:  # processors that want an image
        without = False
    if without or (not chat.template and place not in found):
        own = (
            "'s chat template has no place for an image"
            if chat.template
            else " has no chat template, and its prompt no place for an image"
        )
        raise StageBroken(
            f"stage {chat.stage!r}: the model{own}; take the chat template that the original "
            "checkpoint brings (chat_template.jinja)"
        )


def unread(chat: Chat) -> list[str]:
    """A warning for keys of `chat_template_kwargs` that the template does not know."""
    known = {"chat_template", "continue_final_message", "tools", "documents"}
    wrong = [n for n in chat.options if n not in chat.template and n not in known]
    if not chat.template or not wrong:
        return []
    return [f"the model's chat template knows no {', '.join(wrong)}"]
