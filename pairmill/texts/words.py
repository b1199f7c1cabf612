"""Words and sentences of a text in any script."""

import re
import unicodedata
from functools import cache

UNSPACED_RANGES = (
    (0x0E00, 0x0EFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x3040, 0x30FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x2FA1F),
)
"""Scripts without spaces between words (Thai, Lao, Burmese, Khmer, kana, Han), in which each
character counts as a word: first, last.
"""
UNSPACED = re.compile("[" + "".join(f"{chr(a)}-{chr(b)}" for a, b in UNSPACED_RANGES) + "]")
ABBREVIATION = re.compile(
    r"\b(?:[A-Za-z]|Mr|Mrs|Ms|Dr|Prof|St|Mt|Jr|Sr|No|vs|etc|approx|ca|bzw|usw|Nr|Hr|Fr|Sra|Mme"
    r"|(?:[A-Za-z]\.){1,4}[A-Za-z])\.$"
)
LONGEST_ABBREVIATION = 12
END = re.compile(
    r"[.!?…؟][\"'”’»)\]]{0,3}(?=\s|$)|[。！？][」』”）]{0,3}|\n",
)
"""Where a sentence may end; a full stop does so only before a space, and not after `Mr`."""


@cache
def word_pattern() -> re.Pattern[str]:
    """A word: letters and digits with their marks (vowels of Hindi, points of Hebrew, accents that
    stand by themselves), and the signs that join parts of one.
    """
    marks = (chr(c) for c in range(0x300, 0x10000) if unicodedata.category(chr(c))[0] == "M")
    part = rf"[^\W_]+(?:[{''.join(marks)}][^\W_]*)*"
    return re.compile(rf"{part}(?:['’.\u200c\u200d-]{part})*")


def composed(text: str) -> str:
    """A text whose letters and accents are one character where there is one (NFC)."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def plain_words(text: str) -> list[str]:
    """Words in small letters, without punctuation, for comparing texts."""
    text = composed(text)
    if UNSPACED.search(text):
        text = UNSPACED.sub(lambda m: f" {m.group()} ", text)
    return [w.casefold() for w in word_pattern().findall(text)]


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
