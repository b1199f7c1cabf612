"""Whole numbers as words, in the languages that captions are checked in."""

import re
from functools import lru_cache

SMALL = {
    language: words.split()
    for language, words in {
        "en": "one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
        "fifteen sixteen seventeen eighteen nineteen",
        "de": "eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn "
        "fünfzehn sechzehn siebzehn achtzehn neunzehn",
        "fr": "un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze "
        "seize dix-sept dix-huit dix-neuf",
        "es": "uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince "
        "dieciséis diecisiete dieciocho diecinueve veinte veintiuno veintidós veintitrés "
        "veinticuatro veinticinco veintiséis veintisiete veintiocho veintinueve",
        "ru": "один два три четыре пять шесть семь восемь девять десять одиннадцать двенадцать "
        "тринадцать четырнадцать пятнадцать шестнадцать семнадцать восемнадцать девятнадцать",
        "ar": "واحد اثنان ثلاثة أربعة خمسة ستة سبعة ثمانية تسعة عشرة",
    }.items()
}
"""From one on."""
TENS = {
    language: words.split()
    for language, words in {
        "en": "twenty thirty forty fifty sixty seventy eighty ninety",
        "de": "zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig",
        "fr": "vingt trente quarante cinquante soixante",
        "es": "veinte treinta cuarenta cincuenta sesenta setenta ochenta noventa",
        "ru": "двадцать тридцать сорок пятьдесят шестьдесят семьдесят восемьдесят девяносто",
    }.items()
}
"""From twenty on."""
HAN = "一二三四五六七八九"
NUMERALS = f"〇零{HAN}十百千万两兩"
OTHERS = {
    2: ("两", "兩"),
    12: ("dozen", "dutzend", "douzaine", "docena", "дюжина"),
    100: ("hundred", "one hundred", "hundert", "einhundert", "cent", "cien", "сто", "百", "一百"),
    1000: ("thousand", "one thousand", "tausend", "eintausend", "mille", "mil", "тысяча", "千",
           "一千"),
}  # fmt: skip
MOST = 99
"""Numbers up to this one have words, and those of OTHERS."""
WORD = re.compile(r"[^\W\d_]+")


def says_number(number: int, text: str) -> bool:
    """Whether a text has a number as words, in any of the known languages."""
    words = WORD.findall(text.casefold())
    spaced = f" {' '.join(words)} "
    for written in words_of(number):
        if written[0] in NUMERALS:
            if re.search(rf"(?<![{NUMERALS}]){written}(?![{NUMERALS}])", text):
                return True
        elif f" {written} " in spaced:
            return True
    return False


@lru_cache(maxsize=4096)
def words_of(number: int) -> tuple[str, ...]:
    """How languages write a number, parts with a space between them; none where it is not known."""
    found = [*OTHERS.get(number, ())]
    if 1 <= number <= MOST:
        found += [words[number - 1] for words in SMALL.values() if number <= len(words)]
        ten, one = divmod(number, 10)
        found.append((HAN[ten - 1] if ten > 1 else "") + "十" * (ten > 0) + HAN[one - 1 : one or 0])
        found += [composed(language, ten, one) for language in TENS] if number >= 20 else []
    plain = (word.replace("-", " ") for word in found)
    return tuple(dict.fromkeys(filter(None, plain)))


def composed(language: str, ten: int, one: int) -> str:
    """A number from twenty on; empty where it is written otherwise."""
    if language == "fr":
        return french(10 * ten + one)
    tens, small = TENS[language][ten - 2], SMALL[language]
    if not one:
        return tens
    if language == "de":
        return f"{'ein' if one == 1 else small[one - 1]}und{tens}"
    between = {"en": " ", "es": " y ", "ru": " "}[language]
    return f"{tens}{between}{small[one - 1]}"


def french(number: int) -> str:
    """A French number from twenty on: sixty goes to 79, four twenties to 99."""
    ten = min(number // 10, 6) if number < 80 else 8
    rest = number - 10 * ten
    begins = "quatre vingt" if ten == 8 else TENS["fr"][ten - 2]
    if not rest:
        return f"{begins}s" if ten == 8 else begins
    between = " et " if rest in (1, 11) and ten < 8 else " "
    return f"{begins}{between}{SMALL['fr'][rest - 1]}"
