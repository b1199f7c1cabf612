"""Whether a translation is the text itself, in its own language still."""

import unicodedata
from collections import Counter

from pairmill.texts.function_words import WORDS
from pairmill.texts.words import UNSPACED, composed, plain_words, word_pattern

COMMON = 0.5
"""Share of a text's words that are no names or numbers, from which on they tell its language."""
LEFT = 0.8
"""Share of these words that stand in what is no translation."""
LEAST_IN_SCRIPT = 2
"""Such words that a text has at least where the other language is written in another script."""
LEAST_WORDS, LEAST_ALONE = 5, 2
"""Words that a text in Latin letters has at least, and words of its language's grammar among them
that the other language does not have; one of these suffices beside two that both have.  Names,
brands and loanwords stay as they are, many without a capital letter ("logo design").
"""
LEAST_OF_CLOSE = 8
"""Words where the languages are close, in which short texts may be the same, or no word of the
text's language is known.
"""
CLOSE = tuple(
    frozenset(codes.split())
    for codes in (
        "da no nb nn sv", "hr sr bs sh sl", "cs sk", "id ms jv su", "es pt gl ca ast", "nl af",
        "ru uk be bg mk sr kk ky mn tg", "ar fa ur ps ug ckb sd", "zh ja yue wuu", "hi ur ne mr",
        "tr az", "de nds lb als bar",
    )
)  # fmt: skip
"""Languages that have many words in common, or a script in which names stay as they are."""


def is_untranslated(text: str, translation: str, own: str | None, to: str) -> bool:
    """Whether nearly all words of a text that are no names or numbers stand in its translation from
    one language (ISO 639) into another.  False where the text's language is not known, and where
    its words may be names or loanwords, which stay as they are.
    """
    if own is None or own == to:
        return False
    words, every = common_words(text), plain_words(text)
    if words.total() < max(1, COMMON * len(every)):
        return False
    close = any({own, to} <= group for group in CLOSE)
    foreign = Counter({w: n for w, n in words.items() if not is_latin(w)})
    if in_script := not close and 2 * foreign.total() >= words.total():
        words = foreign  # brands in Latin letters say nothing
    kept = words & Counter(plain_words(translation))
    left = kept.total() / words.total()
    if in_script:
        return left >= LEFT and words.total() >= LEAST_IN_SCRIPT
    if close or own not in WORDS:
        return left == 1 and words.total() >= LEAST_OF_CLOSE
    if left < LEFT or sum(w[0].isalpha() for w in every) < LEAST_WORDS:
        return False
    told = WORDS[own] & kept.keys()
    alone = len(told - WORDS.get(to, frozenset()))
    return alone >= LEAST_ALONE or (alone > 0 and len(told) > LEAST_ALONE)


def is_latin(word: str) -> bool:
    """Whether a word begins with a Latin letter."""
    return unicodedata.name(word[0], "").startswith("LATIN")


def common_words(text: str) -> Counter[str]:
    """Words that are no numbers and do not begin with a capital letter."""
    text = UNSPACED.sub(lambda m: f" {m.group()} ", composed(text))
    words = word_pattern().findall(text)
    return Counter(w.casefold() for w in words if w[0].isalpha() and not w[0].isupper())
