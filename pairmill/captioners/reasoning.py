"""What a model thought, told apart from what it answered."""

OPEN = ("<think>", "[THINK]")
CLOSE = ("</think>", "[/THINK]")


def split_reasoning(text: str, thinking: bool) -> tuple[str | None, str | None]:
    """(reasoning, answer) of a model's text; `thinking`: the prompt ended within a thought.

    The answer is what follows the last end of a thought; None where the thought never ends.
    """
    at, mark = max((text.rfind(mark), mark) for mark in CLOSE)
    if at >= 0:
        return without_opening(text[:at]), text[at + len(mark) :].strip()
    if thinking or text.lstrip().startswith(OPEN):
        return without_opening(text), None
    return None, text.strip()


def without_opening(text: str) -> str:
    """A thought without the mark that opens it, and without blanks around it."""
    text = text.strip()
    for mark in OPEN:
        text = text.removeprefix(mark)
    return text.strip()
