"""Conversations about a picture, in the forms that trainers read."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from pairmill.outputs.values import is_list

Message = dict[str, str]
"""`role` (system, user, assistant, tool) and `content`."""
MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
TAG = "<image>"
ROLES = {"human": "user", "gpt": "assistant", "bot": "assistant", "chatgpt": "assistant"}
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


def told_by(turns: list[Mapping[str, Any]], keys: tuple[str, str]) -> list[Message]:
    """A conversation as it stands in a column, in common roles, without image tags."""
    who, what = keys
    found = []
    for turn in turns:
        role = ROLES.get(turn[who], turn[who])
        found.append({"role": role, "content": untagged(turn[what] or "")})
    return found


def untagged(text: str) -> str:
    """A message without the tag of a picture, nor the line break that parts it from the text."""
    for tag in (f"{TAG}\n", f"\n{TAG}", TAG):
        text = text.replace(tag, "")
    return text


def asked_for(caption: str, prompt: str) -> list[Message]:
    """The conversation in which the caption answers the prompt."""
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": caption}]


def tagged(messages: list[Message], between: str = "") -> list[Message]:
    """The messages with the picture's tag at the beginning of the first user's."""
    at = next((i for i, m in enumerate(messages) if m["role"] == "user"), None)
    return [
        {**m, "content": f"{TAG}{between}{m['content']}"} if i == at else m
        for i, m in enumerate(messages)
    ]


def as_llava(messages: list[Message]) -> list[Message]:
    """LLaVA's form: `from` human or gpt, and `value`; the picture's tag on a line of its own."""
    return [
        {"from": SPEAKERS.get(m["role"], m["role"]), "value": m["content"]}
        for m in tagged(messages, between="\n")
    ]
