"""What a text knows that no picture tells: names and numbers (CapsFusion's world knowledge)."""

import re
from itertools import takewhile
from unicodedata import decimal, normalize

from pairmill.texts.number_words import says_number
from pairmill.texts.signs import OPEN_ENDS
from pairmill.texts.words import UNSPACED, composed

NUMBER = re.compile(r"(?<![A-Za-z\d.,])\d(?:[\d.,]{0,30}\d)?(?!\d)")
MIXED = re.compile(r"(\d{1,3}(?:,\d{3}){1,8})\.(\d{1,9})|(\d{1,3}(?:\.\d{3}){1,8}),(\d{1,9})")
THOUSANDS = re.compile(r"\d{1,3}(?:[.,]\d{3}){1,8}|\d{1,2}(?:,\d{2}){1,8},\d{3}")
"""Groups of digits; in India all but the last have two."""
GROUPED = re.compile(r"(?<![\d.,])\d{1,3}(?:['’\u00a0\u2009\u202f]\d{3}){1,8}(?!\d)")
SPACED = re.compile(r"(?<![\d.,])\d{1,3}(?: \d{3}){1,8}(?!\d|[.,]\d)")
"""Groups with spaces between them, which may be several numbers as well."""
SURELY_SPACED = re.compile(r"(?<![\d.,])\d{1,3}(?: \d{3}){0,7} 000(?: \d{3}){0,7}(?!\d|[.,]\d)")
"""No number is written 000."""
ARABIC_MARKS = str.maketrans({"٬": ",", "٫": "."})
CAPITAL = re.compile(r"[^\W\d_][\w'’.-]*")
LATIN = re.compile(r"[A-Za-zÀ-ɏ][A-Za-zÀ-ɏ\d'’-]*[A-Za-zÀ-ɏ]")
ACCENT = re.compile(r"([A-Za-z])[\u0300-\u036f]+")
OTHER_LETTERS = str.maketrans(
    {"’": "'", "-": " ", "ß": "ss", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "ı": "i", "æ": "ae"}
)
RUSSIAN_ENDING = re.compile(r"[аеёиоуыюя]$")
LONG_NAME, LONGEST_ENDING = 5, 3
"""A name of so many letters may have an ending of so many more; a shorter one an s alone."""
CASELESS = re.compile(r"[\u0590-\u08ff\u0900-\u0dff\u1100-\u11ff\uac00-\ud7af]")
NAME_FOLLOWS = (":", ",", "(", "-", "–", "—")
TITLE_CASE = 0.8
"""Share of longer words with a capital from which on capitals say nothing of names."""
NOUNS_IN_CAPITALS = frozenset({"de", "lb", "nds", "als", "bar"})
"""Languages that write every noun with a capital."""
COUNTABLE = 12
"""Numbers up to this may be counted in a picture."""
COMMON_OPENERS = frozenset(
    "here this these that those there picture photo image view see look how what when where why "
    "who my our your his her their its we i you it he she they new best free buy big old one two "
    "three four some many vintage beautiful close stock "
    "voici cette une on nous ces photo vue une aquí esta una hemos unos vista foto imagen "
    "здесь это на мы красивое вид фото картинка".split()
)
"""Words with which alt texts begin, though no names."""


def numbers_of(text: str) -> list[str]:
    """Numbers written in digits of any script, without separators of thousands and zeros that say
    nothing, each once; of a date each part.
    """
    for groups in (GROUPED, SURELY_SPACED):
        text = groups.sub(lambda m: "".join(filter(str.isdecimal, m.group())), text)
    found = NUMBER.findall(text.translate(ARABIC_MARKS))
    return list(dict.fromkeys(n for one in found for n in plain_numbers(plain_digits(one))))


def plain_digits(written: str) -> str:
    """`２０１９` and `٢٠١٩` are 2019."""
    if written.isascii():
        return written
    return "".join(str(decimal(c)) if c.isdecimal() else c for c in written)


def plain_numbers(written: str) -> list[str]:
    """`1,200` and `1.200` are 1200; `2.5` and `2,50` are 2.5; `1,200.5` and `1.200,5` 1200.5;
    `03.05.2019` are 3, 5 and 2019.
    """
    if both := MIXED.fullmatch(written):
        whole, part = (both[1] or both[3]), (both[2] or both[4])
        parts = [re.sub("[.,]", "", whole) + f".{part}"]
    elif THOUSANDS.fullmatch(written):
        parts = [re.sub("[.,]", "", written)]
    else:
        parts = re.split("[.,]", written)
        parts = [".".join(parts)] if len(parts) == 2 else parts
    return [shortest(part) for part in parts if part]


def shortest(number: str) -> str:
    """A number without zeros that say nothing."""
    whole, _, part = number.partition(".")
    part = part.rstrip("0")
    return (whole.lstrip("0") or "0") + (f".{part}" if part else "")


def names_of(text: str, language: str | None) -> list[str]:
    """Proper names as far as their writing tells them, each once.

    Capitalised words that do not begin a sentence, or begin it as names do (`Kalodor: …`, `Mont
    Blanc …`), and Latin words within a script without case.  None in languages that capitalise
    every noun, and none in a text that capitalises every word.
    """
    text = composed(text)
    if UNSPACED.search(text) or CASELESS.search(text):
        return list(dict.fromkeys(LATIN.findall(text)))
    words = list(CAPITAL.finditer(text))
    if language in NOUNS_IN_CAPITALS or is_title([w.group() for w in words]):
        return names_before_marks(text, words)
    found = []
    for at, match in enumerate(words):
        word = match.group().rstrip(".-'’").removesuffix("'s").removesuffix("’s")
        word = without_common_parts(word)
        if len(word) < 3 or not word[0].isupper():
            continue
        if begins_sentence(text, match.start()):
            following = text[match.end() : match.end() + 2].lstrip()
            named = following.startswith(NAME_FOLLOWS) or next_is_capital(words, at)
            if not named or is_common(word):
                continue
        found.append(word)
    return list(dict.fromkeys(found))


def without_common_parts(word: str) -> str:
    """A word without parts in small letters behind hyphens: `York` of `York-based`."""
    parts = word.split("-")
    count = len(parts)
    while count > 1 and IN_SMALL.fullmatch(parts[count - 1]):
        count -= 1
    return "-".join(parts[:count])


IN_SMALL = re.compile(r"[^\W\dA-ZÀ-ÞА-Я_]\w*")


def is_title(words: list[str]) -> bool:
    """Whether a text capitalises its words as titles do."""
    long = [w[0].isupper() for w in words[1:] if len(w) >= 4]
    short = any(w[0].isupper() for w in words[1:] if 1 < len(w) < 4 and not w.isupper())
    return sum(long) >= TITLE_CASE * len(long) > 0 and (len(long) >= 3 or short)


def names_before_marks(text: str, words: list[re.Match[str]]) -> list[str]:
    """Where capitals say nothing, a first word before a colon is a name (`Kalodor: Ein Ball`)."""
    first = words[0] if words else None
    if first is None or text[first.end() : first.end() + 1] != ":" or is_common(first.group()):
        return []
    return [first.group()]


def begins_sentence(text: str, at: int) -> bool:
    """Whether a word stands at a sentence's beginning, or behind a mark after which one may."""
    before = text[max(0, at - 3) : at].rstrip()
    return not text[:at].strip() if at < 3 else before.endswith((".", "!", "?", ":", '"', "“", "…"))


def next_is_capital(words: list[re.Match[str]], at: int) -> bool:
    """Whether a capitalised word follows the word at `at`, at most two characters behind it."""
    follows = words[at + 1] if at + 1 < len(words) else None
    close = follows is not None and follows.start() - words[at].end() <= 2
    return close and follows is not None and follows.group()[0].isupper()


def is_common(word: str) -> bool:
    """Whether a capitalised first word is an ordinary one."""
    small = word.casefold()
    return small in COMMON_OPENERS or any(small in words for words in OPEN_ENDS.values())


def keeps(fact: str, text: str, numbers: list[str]) -> bool:
    """Whether a name or number stands in a text, a number perhaps as words, and a name in small
    letters only where the whole text is; accents, hyphens and capitals throughout do not count.

    `numbers`: those of the text.
    """
    if fact[:1].isdigit():
        return fact in numbers or (fact.isdecimal() and says_number(int(fact), text))
    name, plain = bare(fact), bare(text)
    if text.islower():
        return stands_apart(name.lower(), plain.lower())
    forms = dict.fromkeys((name, name.upper(), name.capitalize() if name.isupper() else name))
    return any(stands_apart(form, plain) for form in forms)


def bare(text: str) -> str:
    """A text whose Latin letters have no accents, with spaces for hyphens."""
    if not text.isascii():
        text = composed(ACCENT.sub(r"\1", normalize("NFD", text)))
    return text.translate(OTHER_LETTERS)


def stands_apart(wanted: str, text: str) -> bool:
    """Whether a name stands in a text, not within another word; with the ending of a case, which in
    Russian may stand in the place of its last vowel.
    """
    russian = len(wanted) >= LONG_NAME - 1 and RUSSIAN_ENDING.search(wanted) is not None
    stem = wanted[:-1] if russian else wanted
    at = text.find(stem)
    while at >= 0:
        end = at + len(stem)
        if not at or not joins_words(text[at - 1]):
            ending = "".join(takewhile(joins_words, text[end : end + LONGEST_ENDING + 1]))
            long = russian or len(stem) >= LONG_NAME
            if ending in ("", "s") or (long and len(ending) <= LONGEST_ENDING):
                return True
        at = text.find(stem, at + 1)
    return False


def joins_words(character: str) -> bool:
    """Whether it is a letter of a script with capitals, in which words end where letters do."""
    return character.isalpha() and character.lower() != character.upper()


def is_countable(number: str) -> bool:
    """Whether a number is whole and small enough to be counted in a picture."""
    return number.isdecimal() and 1 <= int(number) <= COUNTABLE


def facts_of(text: str, language: str | None) -> list[str]:
    """Names and numbers of a text."""
    return [*names_of(text, language), *numbers_of(text)]


def retention(alt: str, language: str | None, caption: str) -> float | None:
    """Share of the alt text's names and numbers that a caption keeps; None where it has none."""
    facts = facts_of(alt, language)
    numbers = numbers_of(caption)
    return sum(keeps(f, caption, numbers) for f in facts) / len(facts) if facts else None


def invented_numbers(caption: str, known: str) -> list[str]:
    """Numbers of a caption that no picture lets one count and no known text has, in digits or in
    words; digits within a word are known, too.
    """
    have = {*numbers_of(known), *joined(known)}
    have |= {shortest(plain_digits(run)) for run in re.findall(r"\d+", known)}
    whole = {part for number in joined(caption) & have for part in joined_parts(caption, number)}
    return [
        n
        for n in numbers_of(caption)
        if n not in have | whole
        and not is_countable(n)
        and not (n.isdecimal() and says_number(int(n), known))
    ]


def joined(text: str) -> set[str]:
    """What groups of digits with spaces between them are, taken as one number each."""
    return {plain_digits(m.replace(" ", "")) for m in SPACED.findall(text)}


def joined_parts(text: str, number: str) -> set[str]:
    """The groups that make a number."""
    made = (m for m in SPACED.findall(text) if plain_digits(m.replace(" ", "")) == number)
    return {shortest(plain_digits(group)) for m in made for group in m.split(" ")}
