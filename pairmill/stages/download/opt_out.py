"""What a server says about the use of its images: X-Robots-Tag and the TDM reservation protocol."""

import re
from collections.abc import Iterable
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

AGENT = re.compile(r"^\s*([A-Za-z][\w.*-]*)\s*:\s*(.*)$", re.DOTALL)
VALUED = {"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"}
IMPLIED = {"none": ("none", "noindex", "nofollow")}
OPT_IN = {"all", "ai", "imageai"}


def directives(headers: Iterable[str], agent: str | None, now: datetime) -> set[str]:
    """The lower-case directives that hold for `agent` (or for everyone), over all X-Robots-Tag
    headers.

    A scope (`mybot: noai, noindex`) reaches to the next scope or the end of its header.
    `unavailable_after` with a date in the past gives `unavailable`.  `none` stands for `noindex,
    nofollow`.
    """
    found: set[str] = set()
    for header in headers:
        ours = True
        parts = header.split(",")
        for i, part in enumerate(parts):
            match = AGENT.match(part)
            if match and match.group(1).lower() not in VALUED:
                ours = (
                    agent is not None and match.group(1).lower() == agent.lower()
                ) or match.group(1) == "*"
                part = match.group(2)
                match = AGENT.match(part)
            if not ours:
                continue
            if match and match.group(1).lower() in VALUED:
                if match.group(1).lower() == "unavailable_after" and is_past(
                    ",".join([match.group(2), *parts[i + 1 : i + 2]]), now
                ):
                    found.add("unavailable")
                continue
            word = part.strip().lower()
            if word:
                found.update(IMPLIED.get(word, (word,)))
    return found


def is_past(text: str, now: datetime) -> bool:
    """Whether the date at the start of `text` (RFC 822, RFC 850 or ISO 8601) lies before now."""
    text = text.strip()
    for candidate in (text, text.split(",")[0].strip()):
        date = parse_date(candidate)
        if date is not None:
            return date < now
    return False


def parse_date(text: str) -> datetime | None:
    """A date of RFC 822, RFC 850 or ISO 8601, in UTC where it names no zone; None for anything
    else.
    """
    for parse in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            date = parse(text)
        except (TypeError, ValueError, IndexError):
            continue
        return date if date.tzinfo else date.replace(tzinfo=timezone.utc)
    return None


def decision(
    robots: Iterable[str], tdm_reservation: str | None, agent: str | None, disallowed: Iterable[str]
) -> tuple[str | None, bool]:
    """(the reason to stay away or None, whether the server consents explicitly)."""
    found = directives(robots, agent, datetime.now(timezone.utc))
    bad = sorted((found & {d.lower() for d in disallowed}) | (found & {"unavailable"}))
    reserved = (tdm_reservation or "").strip()
    if reserved == "1":
        bad.append("tdm-reservation")
    consent = not bad and (reserved == "0" or bool(found & OPT_IN))
    return (", ".join(bad) or None, consent)
