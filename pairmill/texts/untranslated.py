"""Whether a translation is the text itself, in its own language still."""

from collections import Counter

from pairmill.texts.words import UNSPACED, composed, plain_words, word_pattern

COMMON = 0.5
"""Share of a text's words that are no names or numbers, from which on they tell its language."""
LEFT = 0.8
"""Share of these words that stand in what is no translation."""
LEAST_WORDS, LEAST_OF_CLOSE = 2, 8
"""Such words that a text has at least; where its language is close to the other one, in which short
texts may be the same.
"""
CLOSE = tuple(
    frozenset(codes.split())
    for codes in (
        "da no nb nn sv", "hr sr bs sh sl", "cs sk", "id ms jv su", "bg mk", "es pt gl ca ast",
        "ru uk be", "nl af", "zh ja yue wuu", "hi ur ne mr", "fa tg", "tr az", "de nds lb als bar",
    )
)  # fmt: skip
"""Languages that have many words in common."""


def is_untranslated(text: str, translation: str, own: str | None, to: str) -> bool:
    """Whether nearly all words of a text that are no names or numbers stand in its translation from
    one language (ISO 639) into another.  False where the text's language is not known, and where it
    has hardly a word but names and numbers, which stay as they are.
    """
    if own is None or own == to:
        return False
    words = common_words(text)
    close = any({own, to} <= group for group in CLOSE)
    if words.total() < (LEAST_OF_CLOSE if close else LEAST_WORDS):
        return False
    if words.total() < COMMON * len(plain_words(text)):
        return False
    left = (words & Counter(plain_words(translation))).total() / words.total()
    return left == 1 if close else left >= LEFT


def common_words(text: str) -> Counter[str]:
    """Words that are no numbers and do not begin with a capital letter."""
    text = UNSPACED.sub(lambda m: f" {m.group()} ", composed(text))
    words = word_pattern().findall(text)
    return Counter(w.casefold() for w in words if w[0].isalpha() and not w[0].isupper())
