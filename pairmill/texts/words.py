"""Words and sentences of a text in any script."""

import re

# Scripts without spaces between words: each character counts as a word (Han, kana, Thai, Lao,
# Khmer, Burmese).
UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002fa1f]"
)
WORD = re.compile(r"[^\W_]+(?:['’.-][^\W_]+)*")
ABBREVIATION = re.compile(
    r"\b(?:[A-Za-z]|Mr|Mrs|Ms|Dr|Prof|St|Mt|Jr|Sr|No|vs|etc|approx|ca|bzw|usw|Nr|Hr|Fr|Sra|Mme"
    r"|(?:[A-Za-z]\.){1,4}[A-Za-z])\.$"
)
LONGEST_ABBREVIATION = 12
END = re.compile(
    r"[.!?…؟][\"'”’»)\]]{0,3}(?=\s|$)|[。！？][」』”）]{0,3}|\n",
)
"""Where a sentence may end; a full stop does so only before a space, and not after `Mr`."""


def words_of(text: str) -> list[str]:
    """Words at white space, with every character of an unspaced script a word of its own and no
    bare punctuation from there.
    """
    if not UNSPACED.search(text):
        return text.split()
    spaced = UNSPACED.sub(lambda m: f" {m.group()} ", text)
    return [w for w in spaced.split() if any(c.isalnum() for c in w)]


def plain_words(text: str) -> list[str]:
    """Words in small letters, without punctuation, for comparing texts."""
    if UNSPACED.search(text):
        text = UNSPACED.sub(lambda m: f" {m.group()} ", text)
    return [w.casefold() for w in WORD.findall(text)]


def sentences(text: str) -> list[str]:
    """The sentences of a text, in order, each with its own punctuation."""
    found: list[str] = []
    first = 0
    for end in END.finditer(text):
        last_word = text[max(first, end.end() - LONGEST_ABBREVIATION) : end.end()]
        if end.end() < len(text) and ABBREVIATION.search(last_word):
            continue
        piece = text[first : end.end()].strip()
        if any(c.isalnum() for c in piece):
            found.append(piece)
        first = end.end()
    rest = text[first:].strip()
    return [*found, rest] if rest else found
