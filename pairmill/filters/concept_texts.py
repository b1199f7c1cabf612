"""Texts as concepts are looked for in them: what separates words becomes one space."""

import re
from typing import Literal

import numpy as np
import polars as pl

Match = Literal["words", "split", "metaclip"]
UNSPACED = (
    r"[\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf"
    r"\u4e00-\u9fff\uf900-\ufaff\x{20000}-\x{2fa1f}]"
)
"""Scripts without spaces between words: Thai, Lao, Tibetan, Burmese, Khmer, kana, Han."""
FOLDED = {"ß": "ss", "ς": "σ", "i\u0307": "i"}
"""What lower case leaves apart though capitals (STRASSE, ΟΔΟΣ, İ) are the same."""
WORD = r"[\p{L}\p{N}]"
SPLIT = r"[\s\x1c-\x1f]+"
"""What `str.split()` of Python splits at."""
SEPARATOR = b"\x00"
"""Stands between texts that are searched together; no form of a concept holds it."""
PLAIN = bytes(
    c + 32 if 65 <= c <= 90 else c if c == 0 or (chr(c).isalnum() and c < 128) else 32
    for c in range(256)
)
"""ASCII in lower case, everything but letters and digits (and the separator) a space."""
METACLIP_MARKS = r"[,.;:?!`]"
METACLIP_SPACES = r"[\t\n\r]"


def spaced(texts: pl.Series, match: Match) -> pl.Series:
    """Each text between spaces.

    `words`: letters, digits and marks of any script in lower case (NFKC, case folded), everything
    else a space; a run of an unspaced script stands by itself.  `split`: lower case, white space a
    space.  `metaclip`: as MetaCLIP's `spacing` has it, in whatever case.
    """
    if match == "metaclip":
        marked = texts.str.replace_all(METACLIP_MARKS, " $0 ")
        return " " + marked.str.replace_all(METACLIP_SPACES, " ") + " "
    if match == "split":
        plain = texts.str.to_lowercase().str.replace_all(SPLIT, " ").str.strip_chars(" ")
        return " " + plain + " "
    foreign = texts.str.len_bytes() != texts.str.len_chars()
    plain = texts.str.to_lowercase().str.replace_all("[^0-9a-z]+", " ")
    if foreign.any():
        other = texts.filter(foreign).str.normalize("NFKC").str.to_lowercase()
        other = other.str.replace_many(FOLDED)
        other = other.str.replace_all(f"{UNSPACED}+", " $0 ").str.replace_all(r"[\W_]+", " ")
        plain = plain.scatter(foreign.arg_true(), other)
    return " " + plain.str.strip_chars(" ") + " "


def joined(texts: pl.Series, match: Match) -> tuple[bytes, np.ndarray]:
    """Spaced texts one behind the other, and where each ends there, int64."""
    if match == "words" and (data := joined_ascii(texts)) is not None:
        ends = np.flatnonzero(np.frombuffer(data, np.uint8) == 0)
        return data, np.append(ends, len(data))
    parts = spaced(texts, match)
    ends = np.cumsum(parts.str.len_bytes().to_numpy().astype(np.int64) + len(SEPARATOR))
    return parts.str.join(SEPARATOR.decode())[0].encode(), ends


def joined_ascii(texts: pl.Series) -> bytes | None:
    """The same for words, several times as fast; None where a text is not of ASCII alone, or holds
    the separator.
    """
    data = texts.str.join(SEPARATOR.decode())[0].encode()
    if not data.isascii() or data.count(SEPARATOR) != len(texts) - 1:
        return None
    data = b" " + data.translate(PLAIN).replace(SEPARATOR, b" " + SEPARATOR + b" ") + b" "
    return re.sub(b"  +", b" ", data) if b"  " in data else data


def patterns(forms: list[str], match: Match) -> list[str]:
    """Forms of concepts as they stand in spaced texts; "" for one that holds no word.

    At an end in an unspaced script any character may follow, so no space is asked for there.
    """
    if match == "metaclip":
        return [f" {form} " for form in forms]
    series = spaced(pl.Series(forms, dtype=pl.String), match)
    if match == "words":
        series = series.str.replace(f"^ ({UNSPACED})", "$1").str.replace(f"({UNSPACED}) $", "$1")
        series = series.set(~series.str.contains(WORD), "")  # an emoji leaves marks of its own
    return ["" if not form.strip() else form for form in series.to_list()]
