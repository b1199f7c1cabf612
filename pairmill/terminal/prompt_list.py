"""The library of prompts, a row each; one of them in full."""

import json

from rich.table import Table
from rich.text import Text

from pairmill.captioners.library import LibraryPrompt, library


def prompt_list() -> Table:
    """Id and version, what it is for, what it reads, who asked like this first, its text."""
    table = Table(show_lines=True)
    for name in ("prompt", "for", "reads", "source", "text"):
        table.add_column(name, overflow="fold")
    for prompt in library().values():
        columns = (f"{prompt.id}@{prompt.version}", prompt.purpose, reads(prompt), prompt.source)
        table.add_row(*map(Text, (*columns, prompt.text)))
    return table


def reads(prompt: LibraryPrompt) -> str:
    """The names in its wording, and the image where it comes with one."""
    names = prompt.reads()
    picture = ["image"] if prompt.images or not names else []
    return ", ".join([*picture, *names])


def prompt_page(prompt: LibraryPrompt) -> str:
    """All turns of a prompt, and what stands for its wording."""
    lines = [
        f"{prompt.id}@{prompt.version}: {prompt.purpose}",
        f"reads:     {reads(prompt)}",
        f"source:    {prompt.source}",
        f"prompt_id: {prompt.wording.digest}",
    ]
    if prompt.system:
        lines += ["", "system:", prompt.system]
    for example in prompt.examples:
        lines += ["", "user (example):", example.user, "", "assistant (example):"]
        lines.append(example.assistant)
    lines += ["", "user:", prompt.text]
    if prompt.json_schema:
        lines += ["", "json_schema:", json.dumps(prompt.json_schema, indent=2)]
    return "\n".join(lines)


def prompt_facts() -> list[dict[str, object]]:
    """Every prompt as plain data."""
    return [
        {
            **prompt.model_dump(by_alias=True, mode="json"),
            "reads": prompt.reads(),
            "prompt_id": prompt.wording.digest,
        }
        for prompt in library().values()
    ]
