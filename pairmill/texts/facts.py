"""What a text knows that no picture tells: names and numbers (CapsFusion's world knowledge)."""

import re
from unicodedata import decimal

from pairmill.texts.signs import OPEN_ENDS
from pairmill.texts.words import UNSPACED

NUMBER = re.compile(r"(?<![A-Za-z\d.,])\d(?:[\d.,]{0,30}\d)?(?!\d)")
MIXED = re.compile(r"(\d{1,3}(?:,\d{3}){1,8})\.(\d{1,9})|(\d{1,3}(?:\.\d{3}){1,8}),(\d{1,9})")
THOUSANDS = re.compile(r"\d{1,3}(?:[.,]\d{3}){1,8}")
CAPITAL = re.compile(r"[^\W\d_][\w'’.-]*")
LATIN = re.compile(r"[A-Za-z][\w'’-]*[A-Za-z]")
CASELESS = re.compile(r"[\u0590-\u08ff\u0900-\u0dff\u1100-\u11ff\uac00-\ud7af]")
NAME_FOLLOWS = (":", ",", "(", "-", "–", "—")
TITLE_CASE = 0.8
"""Share of longer words with a capital from which on capitals say nothing of names."""
NOUNS_IN_CAPITALS = frozenset({"de", "lb", "nds", "als", "bar"})
"""Languages that write every noun with a capital."""
COUNTABLE = 12
"""Numbers up to this may be counted in a picture."""
NUMBER_WORDS = {
    language: words.split()
    for language, words in {
        "en": "one two three four five six seven eight nine ten eleven twelve",
        "de": "eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf",
        "fr": "un deux trois quatre cinq six sept huit neuf dix onze douze",
        "es": "uno dos tres cuatro cinco seis siete ocho nueve diez once doce",
        "ru": "один два три четыре пять шесть семь восемь девять десять одиннадцать двенадцать",
        "zh": "一 二 三 四 五 六 七 八 九 十 十一 十二",
        "ja": "一 二 三 四 五 六 七 八 九 十 十一 十二",
        "ar": "واحد اثنان ثلاثة أربعة خمسة ستة سبعة ثمانية تسعة عشرة",
    }.items()
}
COMMON_OPENERS = frozenset(
    "here this these that those there picture photo image view see look how what when where why "
    "who my our your his her their its we i you it he she they new best free buy big old one two "
    "three four some many vintage beautiful close stock "
    "voici cette une on nous ces photo vue une aquí esta una hemos unos vista foto imagen "
    "здесь это на мы красивое вид фото картинка".split()
)
"""Words with which alt texts begin, though no names."""


def numbers_of(text: str) -> list[str]:
    """Numbers written in digits of any script, without separators of thousands, each once."""
    return list(dict.fromkeys(plain_number(plain_digits(n)) for n in NUMBER.findall(text)))


def plain_digits(written: str) -> str:
    """`２０１９` and `٢٠١٩` are 2019."""
    if written.isascii():
        return written
    return "".join(str(decimal(c)) if c.isdecimal() else c for c in written)


def plain_number(written: str) -> str:
    """`1,200` and `1.200` are 1200; `2.5` and `2,5` are 2.5; `1,200.5` and `1.200,5` 1200.5."""
    if both := MIXED.fullmatch(written):
        whole, part = (both[1] or both[3]), (both[2] or both[4])
        return re.sub("[.,]", "", whole) + f".{part}"
    mark = "" if THOUSANDS.fullmatch(written) else "."
    return written.replace(",", mark).replace(".", mark)


def names_of(text: str, language: str | None) -> list[str]:
    """Proper names as far as their writing tells them, each once.

    Capitalised words that do not begin a sentence, or begin it as names do (`Kalodor: …`, `Mont
    Blanc …`), and Latin words within a script without case.  None in languages that capitalise
    every noun, and none in a text that capitalises every word.
    """
    if UNSPACED.search(text) or CASELESS.search(text):
        return list(dict.fromkeys(LATIN.findall(text)))
    words = list(CAPITAL.finditer(text))
    if language in NOUNS_IN_CAPITALS or is_title([w.group() for w in words]):
        return names_before_marks(text, words)
    found = []
    for at, match in enumerate(words):
        word = match.group().rstrip(".-'’").removesuffix("'s").removesuffix("’s")
        if len(word) < 3 or not word[0].isupper():
            continue
        if begins_sentence(text, match.start()):
            following = text[match.end() : match.end() + 2].lstrip()
            named = following.startswith(NAME_FOLLOWS) or next_is_capital(words, at)
            if not named or is_common(word):
                continue
        found.append(word)
    return list(dict.fromkeys(found))


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
    """Whether a name or number stands in a text, a small number perhaps as a word, and a name in
    small letters only where the whole text is.

    `numbers`: those of the text.
    """
    if fact[:1].isdigit():
        return fact in numbers or (is_countable(fact) and says_number(int(fact), text))
    wanted = fact.lower() if text.islower() else fact
    return stands_apart(wanted, text)


def stands_apart(wanted: str, text: str) -> bool:
    """Whether a word stands in a text, and not behind a Latin letter."""
    at = text.find(wanted)
    while at > 0 and text[at - 1].isascii() and text[at - 1].isalpha():
        at = text.find(wanted, at + 1)
    return at >= 0


def is_countable(number: str) -> bool:
    """Whether a number is whole and small enough to be counted in a picture."""
    return number.isdecimal() and 1 <= int(number) <= COUNTABLE


def says_number(number: int, text: str) -> bool:
    """Whether a text has a small number as a word, in any of the known languages."""
    words = {w[number - 1] for w in NUMBER_WORDS.values() if number <= len(w)}
    unspaced = {w for w in words if UNSPACED.search(w)}
    small = re.findall(r"[^\W\d_]+", text.casefold())
    return bool(words & set(small)) or any(w in text for w in unspaced)


def facts_of(text: str, language: str | None) -> list[str]:
    """Names and numbers of a text."""
    return [*names_of(text, language), *numbers_of(text)]


def retention(alt: str, language: str | None, caption: str) -> float | None:
    """Share of the alt text's names and numbers that a caption keeps; None where it has none."""
    facts = facts_of(alt, language)
    numbers = numbers_of(caption)
    return sum(keeps(f, caption, numbers) for f in facts) / len(facts) if facts else None


def invented_numbers(caption: str, known: str) -> list[str]:
    """Numbers of a caption that no picture lets one count and no known text has."""
    have = numbers_of(known)
    return [n for n in numbers_of(caption) if n not in have and not is_countable(n)]
