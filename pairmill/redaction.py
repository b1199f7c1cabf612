"""One filter for every text that leaves pairmill: messages, log lines, files, pages.

A secret is known by value (environment variables that are marked, or named like a secret, or hold
something of a secret's shape) or by shape (credentials in a URL, `token=…`, keys of well-known
services).  The filter runs before a text is cut: half a secret is a secret.
"""

import base64
import html
import json
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

GONE = "***"
SHORTEST = 4
"""Characters of a secret that the pipeline names; shorter ones would blot out ordinary words."""
SHORTEST_UNNAMED = 8
"""The same for variables that only look like secrets."""

SECRET_NAME = re.compile(
    r"PASS(?:WORD|WD|PHRASE|CODE|WRD)|(?:^|_)PASS(?:_|$)|(?<=.)PWD|(?:^|_)PSW(?:_|$)|SECRET|"
    r"CREDENTIAL"
    r"|(?:^|_)CREDS?(?:_|$)|TOKEN(?!I[SZ]|_?(?:COUNT|LIMIT|LENGTH)|S(?:_|$))|COOKIE|BEARER|WEBHOOK"
    r"|(?:^|_)(?:AUTH|OAUTH2?|AUTHORIZATION|DSN|JWT|PAT|SAS|SIGNATURE)(?:_|$)|AUTHKEY"
    r"|KEY(?:_?ID|_?B64|_?BASE64|_?\d+)?(?:_|$)|CONN(?:ECTION)?_?STR(?:ING)?"
    r"|(?:DATABASE|DB|REDIS\w*|MONGO\w*|POSTGRES\w*|PG|MYSQL|MARIADB|AMQP|RABBITMQ|BROKER|"
    r"CELERY\w*|KAFKA\w*|ELASTIC\w*|SMTP)_?UR[IL]"
    r"|PRIVATE_?KEY",
    re.IGNORECASE,
)
PUBLIC_NAME = re.compile(
    r"^(?:OLD)?PWD$|_(?:PATH|FILE|DIR|MODE|TYPE|METHOD|TIMEOUT|EXPIRY|SOCK)$", re.IGNORECASE
)
"""Ends of names that tell where a secret is, or what about it, and not the secret."""
PLAIN_VALUE = re.compile(
    r"^(?:true|false|yes|no|on|off|none|null|auto|disabled|enabled|token|[\d.,]{1,7})$",
    re.IGNORECASE,
)
WORD = re.compile(r"^[a-z_]{1,15}$")
"""What a variable `…_KEY` often holds instead of a key: the name of a column."""

FILLED = r"\$\{\w{1,100}\}"
URL_LOGIN = re.compile(
    rf"(?P<keep>\b[a-z][a-z0-9+.-]{{0,20}}:/{{2,3}})(?P<gone>(?!{FILLED}:{FILLED}@)"
    r"[^\s/@\"'<>`]{0,100}:[^\s\"'<>`]{0,300}(?=@))",
    re.IGNORECASE,
)
"""`user:password@` of a URL, broken ones included."""
URL_LOGIN_ENCODED = re.compile(
    r"(?P<keep>%3A%2F%2F)(?P<gone>(?:(?!%2F|%40)[^\s/@]){1,300}(?=%40))", re.IGNORECASE
)
ASSIGNED = re.compile(
    r"(?P<keep>(?:pass(?:word|wd|phrase)?|pwd|secret|token|key|credentials?|signature|sig|sas|auth|"
    r"jwt|session[_-]?id|cookie)"
    r"(?:[_-]?id)?[\"']?\s{0,2}(?:=|%3D)\s{0,2}[\"']?)"
    r"(?P<gone>(?!\$\{|\*\*\*)[^\s\"'&;,<>(){}\[\]|]{6,})",
    re.IGNORECASE,
)
QUOTED = re.compile(
    r"(?P<keep>(?:password|passwd|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|"
    r"private[_-]?key|authorization|credentials?|cookie)"
    r"[\w-]{0,20}[\"']\s{0,2}:\s{0,2}[\"'])(?P<gone>(?!\$\{|\*\*\*)[^\"'\s][^\"']{3,})",
    re.IGNORECASE,
)
HEADER = re.compile(
    r"(?P<keep>(?:authorization|x-[\w-]{0,30}(?:key|token|secret)|api-key|cookie|private-token)"
    r"[\"']?\s{0,2}[:=]\s{0,2}[\"']?(?:(?:bearer|basic|token|digest)\s{1,2})?)"
    r"(?P<gone>(?!\$\{|\*\*\*)[^\s\"'<>{}]{6,})",
    re.IGNORECASE,
)
SCHEME = re.compile(
    r"(?P<keep>\b(?:bearer|basic)\s+)(?P<gone>(?=[^\s]*[\d=_-])[A-Za-z0-9+/._~=-]{12,})",
    re.IGNORECASE,
)
KNOWN_KEYS = re.compile(
    r"(?P<keep>)(?P<gone>\b(?:(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}|hf_[A-Za-z0-9]{16,}|"
    r"gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}"
    r"|glpat-[\w-]{16,}|sk-[A-Za-z0-9_-]{16,}|[sr]k_(?:live|test)_\w{16,}|xox[abeprs]-[\w-]{10,}|"
    r"AIza[\w-]{30,}|ya29\.[\w-]{20,}"
    r"|eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*|npm_[A-Za-z0-9]{30,}|pypi-[\w-]{30,}|dop_v1_\w{40,}|"
    r"SG\.[\w-]{16,}\.[\w-]{16,}"
    r"|nvapi-[\w-]{20,}|GOOG[A-Z0-9]{10,}|r8_\w{30,}|gsk_\w{20,}|wandb_v1_\w{20,}))"
    r"(?![A-Za-z0-9])"
)
PEM = re.compile(
    r"(?P<keep>-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----)(?P<gone>.*?(?=-----END|\Z))", re.DOTALL
)
SECRET_FIELD = re.compile(
    r"(?:password|passwd|passphrase|secret|token|api_?key|access_?key|private_?key|authorization)$",
    re.IGNORECASE,
)
"""A key of a map whose value is a secret."""
LINE = re.compile(
    r"(?P<keep>^[ \t]{0,80}(?:- )?[\"']?[\w-]{0,40}(?:password|passwd|passphrase|secret|token|"
    r"api_?key|access_?key|secret_?key|private_?key|account_?key)"
    r"[\"']?[ \t]{0,2}:[ \t]{1,4}[\"']?)(?P<gone>(?!\$\{|\*\*\*)[^\s\"'#&*!|>{\[][^\r\n\"'#]{5,})",
    re.IGNORECASE | re.MULTILINE,
)
"""`password: …` of a YAML file."""
PUBLIC_FIELD = re.compile(r"(?:^|\.)user_agent_token$")
PUBLIC_KEY = re.compile(
    r"(?:\b(?:user_agent_token|api_key_env|max_(?:new_)?tokens|tokens_per_minute)|\bstages\.[^=]*\.key)"
    r"[\"']?\s*[:=]\s*[\"']?$"
)
"""Keys of a pipeline file that only sound like a secret's: what is told to every server, a
variable's name, numbers, a column.
"""
LOOKED_BACK = 120
"""Characters before a value that may say its key."""
NAME, NAMES = 64, 10_000
"""Characters of a text that is remembered to be clean, and how many texts."""
SHAPES = (PEM, URL_LOGIN, URL_LOGIN_ENCODED, HEADER, QUOTED, LINE, ASSIGNED, SCHEME, KNOWN_KEYS)
HINT = re.compile(
    r"://|-----BEGIN|%3a%2f|[=:]|_[a-z0-9]|sk-|AKIA|ASIA|AROA|AIDA|glpat|xox|AIza|ya29|eyJ|npm|"
    r"pypi|SG\.|nvapi|GOOG|bearer|basic",
    re.IGNORECASE,
)
"""A text without any of these has no shape of a secret."""


class Redactor:
    """Knows secret values, by the name that takes their place."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self._pattern: re.Pattern[str] | None = None
        self.clean: set[str] = set()
        """Short texts without secrets, such as keys and names: they come again and again."""

    def add(self, value: str, name: str, shortest: int = SHORTEST) -> None:
        """Takes a value, and the forms in which it may stand in a text, for a secret."""
        text = value.strip()
        lines = [text, *(line for line in text.splitlines() if len(line) >= 16)]
        for plain in lines:
            if len(plain) < shortest or self.values.get(plain) == name:
                continue
            for form in forms(plain):
                self.values.setdefault(form, name)
            self._pattern = None
            self.clean.clear()

    def from_environment(self, environment: Mapping[str, str], marked: Iterable[str] = ()) -> None:
        """Takes what the variables hold that are marked, or look like secrets."""
        marked = set(marked)
        for name, value in environment.items():
            if name in marked:
                self.add(value, f"${{{name}}}")
            elif is_secret(name, value):
                self.add(value, f"${{{name}}}", SHORTEST_UNNAMED)
            elif login := URL_LOGIN.search(value):
                self.add(login["gone"], f"${{{name}}}", SHORTEST_UNNAMED)
            if login := URL_LOGIN.search(value):  # the password by itself
                self.add(login["gone"].partition(":")[2], f"${{{name}}}", SHORTEST_UNNAMED)

    def known(self, text: str) -> str:
        """Puts names in the place of known values alone."""
        if not self.values:
            return text
        if self._pattern is None:
            longest_first = sorted(self.values, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(re.escape, longest_first)))
        return self._pattern.sub(lambda m: self.values[m[0]], text)

    def __call__(self, text: str) -> str:
        if text in self.clean:
            return text
        found = self.without(text)
        if found == text and len(text) <= NAME and len(self.clean) < NAMES:
            self.clean.add(text)
        return found

    def without(self, text: str) -> str:
        """A text without secrets."""
        if text.startswith("data:") and ";base64," in text[:100]:
            return text  # a picture
        text = self.known(text)
        if not HINT.search(text):
            return text
        for shape in SHAPES:
            text = shape.sub(blotted, text)
        return text

    def __reduce__(self) -> Any:
        return joined, (self.values,)


def blotted(found: re.Match[str]) -> str:
    """What takes the place of a shape: its secret is gone, unless its key says that it is none."""
    before = found.string[max(0, found.start("gone") - LOOKED_BACK) : found.start("gone")]
    return found[0] if PUBLIC_KEY.search(before) else f"{found['keep']}{GONE}"


def joined(values: Mapping[str, str]) -> Redactor:
    """What another process knew is known here as well: secrets travel with the work."""
    for value, name in values.items():
        REDACTOR.values.setdefault(value, name)
    REDACTOR._pattern = None
    REDACTOR.clean.clear()
    return REDACTOR


def is_secret(name: str, value: str) -> bool:
    """Whether a variable looks like a secret, by its name or by what it holds."""
    if PLAIN_VALUE.match(value):
        return False
    if KNOWN_KEYS.search(value) or PEM.search(value):
        return True
    if not SECRET_NAME.search(name) or PUBLIC_NAME.search(name):
        return False
    return not (re.search(r"KEY\w*$", name, re.IGNORECASE) and WORD.match(value))


def forms(value: str) -> list[str]:
    """A value as URLs, JSON, Python, HTML and basic authentication write it."""
    quoted = json.dumps(value)[1:-1]
    found = [
        value,
        quote(value, safe=""),
        quote(value),
        quote_plus(value),
        quoted,
        json.dumps(value, ensure_ascii=False)[1:-1],
        repr(value)[1:-1],
        html.escape(value),
    ]
    if len(value) >= SHORTEST_UNNAMED:
        found.append(base64.b64encode(value.encode()).decode().rstrip("="))
    return list(dict.fromkeys(found))


REDACTOR = Redactor()
"""What this process knows."""
REDACTOR.from_environment(os.environ)


def redact(text: str) -> str:
    """A text without secrets."""
    return REDACTOR(text)


NUMBERS = frozenset({int, float, bool, type(None)})
"""Types of values that hold no text; most of a report's are of these."""


def redact_data(value: Any) -> Any:
    """Plain data (maps, lists, texts, numbers) without secrets, keys included."""
    if type(value) in NUMBERS:
        return value
    match value:
        case str():
            return redact(value)
        case bytes():
            return redact(value.decode("utf-8", "replace")).encode()
        case Mapping():
            return {
                redact(k) if isinstance(k, str) else k: GONE
                if secret_pair(k, v)
                else redact_data(v)
                for k, v in value.items()
            }
        case list():
            return [v if type(v) in NUMBERS else redact_data(v) for v in value]
        case tuple():
            return tuple(redact_data(v) for v in value)
    return value


def secret_pair(key: object, value: object) -> bool:
    """Whether a key says that its value is a secret, which is not a variable's name already."""
    return (
        isinstance(key, str)
        and isinstance(value, str)
        and SECRET_FIELD.search(key) is not None
        and PUBLIC_FIELD.search(key) is None
        and len(value) >= SHORTEST
        and not value.startswith("${")
    )


def shown(value: object, most: int) -> str:
    """A value for a message: without secrets, as Python writes it, then cut to `most`
    characters.
    """
    text = redact(repr(redact_data(value)))
    return text if len(text) <= most else text[: most - 1] + "…"
