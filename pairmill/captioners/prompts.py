"""Prompts with `{column}` references."""

import string

from pairmill.schemas.hashing import digest


class BadPrompt(ValueError):
    """A prompt whose references cannot be filled; the message says which."""


def referenced(prompt: str) -> list[str]:
    """Columns named in a prompt, in order; `{{` and `}}` are plain braces.  Raises BadPrompt."""
    names = []
    try:
        for _, name, spec, conversion in string.Formatter().parse(prompt):
            if name is None:
                continue
            if not name.isidentifier() or spec or conversion:
                raise BadPrompt(
                    f"{{{name}}} is no column name; write {{column}}, or {{{{ and }}}} for plain braces"
                )
            names.append(name)
    except ValueError as error:
        if isinstance(error, BadPrompt):
            raise
        raise BadPrompt(f"{error}; write {{{{ and }}}} for plain braces") from None
    return list(dict.fromkeys(names))


def fill(prompt: str, values: dict[str, object]) -> str:
    """The prompt with the row's values in place; they are never read as references themselves."""
    return prompt.format(**{k: "" if v is None else v for k, v in values.items()})


def prompt_id(prompt: str) -> str:
    """16 hex digits that stand for a prompt's exact wording."""
    return digest(prompt, "prompt")
