"""Conversations about a picture, in the forms that trainers read."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from pairmill.outputs.chosen import WITHOUT
from pairmill.outputs.values import is_list

Message = dict[str, str]
"""`role` (system, user, assistant, tool) and `content`."""
MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
TAG = "<image>"
MARKS = (TAG, "<video>", "<audio>")
"""What trainers count in texts, and want a file for."""
ROLES = {name: name for name in ("system", "user", "assistant", "tool")} | {
    "human": "user",
    "gpt": "assistant",
    "bot": "assistant",
    "chatgpt": "assistant",
}
"""Names in LLaVA's and ShareGPT's files, and the common ones."""
SPEAKERS = {"user": "human", "assistant": "gpt"}
KEYS = (("role", "content"), ("from", "value"))


def keys_of(dtype: pa.DataType) -> tuple[str, str] | None:
    """Which fields of a column of conversations tell who speaks, and what is said; None for
    another column.
    """
    if not is_list(dtype) or not pa.types.is_struct(dtype.value_type):
        return None
    fields = {f.name: f.type for f in dtype.value_type}
    for who, what in KEYS:
        texts = (pa.string(), pa.large_string(), pa.string_view())
        if fields.get(who) in texts and fields.get(what) in texts:
            return who, what
    return None


def told_by(
    turns: list[Mapping[str, Any] | None], keys: tuple[str, str], told: Counter[str]
) -> list[Message]:
    """A conversation as it stands in a column, in common roles, without image tags."""
    who, what = keys
    found = []
    for turn in turns:
        if turn is None or not (turn[who] or "").strip():
            told["turns without a speaker are left out"] += 1
            continue
        role = turn[who].strip()
        content = plain(untagged(turn[what] or ""), told)
        found.append({"role": ROLES.get(role.lower(), role), "content": content})
    return found


def untagged(text: str) -> str:
    """A message without the tag of a picture, nor the line break that parts it from the text."""
    for tag in (f"{TAG}\n", f"\n{TAG}", TAG):
        text = text.replace(tag, "")
    return text


def plain(text: str, told: Counter[str]) -> str:
    """A text in which no trainer finds a mark that wants a file: a space breaks them."""
    if not any(mark in text for mark in MARKS):
        return text
    told["texts with a mark such as <image>, which trainers count: spelled with a space"] += 1
    for mark in MARKS:
        text = text.replace(mark, f"< {mark[1:]}")
    return text


def asked_for(caption: str, prompt: str, told: Counter[str]) -> list[Message]:
    """The conversation in which the caption answers the prompt."""
    question = plain(untagged(prompt), Counter())
    return [
        {"role": "user", "content": question},
        {"role": "assistant", "content": plain(caption, told)},
    ]


def tagged(messages: list[Message], between: str = "") -> list[Message]:
    """The messages with the picture's tag at the beginning of the first user's."""
    at = next((i for i, m in enumerate(messages) if m["role"] == "user"), None)
    return [
        {**m, "content": f"{TAG}{between}{m['content']}"} if i == at else m
        for i, m in enumerate(messages)
    ]


def as_llava(messages: list[Message], tag: bool = True) -> list[Message]:
    """LLaVA's form: `from` human or gpt, and `value`; the picture's tag on a line of its own."""
    return [
        {"from": SPEAKERS.get(m["role"], m["role"]), "value": m["content"]}
        for m in (tagged(messages, between="\n") if tag else messages)
    ]


def tell_misfits(talks: list[list[Message]], told: Counter[str], llava: bool) -> None:
    """Counts conversations that have no place for the picture's tag, and turns of those of whom
    LLaVA's trainer knows nothing.
    """
    for talk in talks:
        roles = [m["role"] for m in talk]
        if talk and "user" not in roles:
            told[f"{WITHOUT}a turn of the user: no place for the picture's tag"] += 1
        for role in roles if llava else ():
            if role not in SPEAKERS:
                told[f"turns of {role!r}: LLaVA's own trainer knows human and gpt alone"] += 1
