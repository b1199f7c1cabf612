"""The filter of secrets: what it knows by name, by value, by shape; what it leaves; what it costs."""

import time

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pairmill.addresses import without_credentials
from pairmill.redaction import Redactor, is_secret, redact, shown
from pairmill.workspace.parts import clean_urls
from tests.test_secrets import SHAPED


@pytest.mark.parametrize("shape", SHAPED)
def test_shape_of_a_secret_is_enough(shape: str) -> None:
    value = SHAPED[shape]
    for text in (shape.format(value), repr(shape.format(value)), f"a {shape.format(value)} b"):
        assert value not in redact(text)
        assert value not in shown({"x": text}, 400)


@pytest.mark.parametrize(
    "text",
    [
        "unknown key 'sead'; did you mean 'seed'? (keys: name, source)",
        "stages.clip.keep: clip_score >= 0.3 AND lang = 'en'",
        "token: ${HF_TOKEN}, https://${USER}:${PASSWORD}@host/x, key=${KEY}",
        "/data/2024:10/file@x.parquet, mailto a@b.test, 10:30",
        "https://host.test/a?width=200&height=300",
        "max_new_tokens: 64",
        "    user_agent_token: my-crawler",
        '{"user_agent_token": "my-crawler", "api_key_env": "MY_API_KEY"}',
        "# --set stages.download.user_agent_token=my-crawler",
        "# --set stages.related.key=document_id",
        "primary key = id",
        "data:image/jpeg;base64,key=AAAAAAAAAAAAAAAAAAAAAAA",
    ],
)
def test_ordinary_text_stays(text: str) -> None:
    assert Redactor()(text) == text


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        *((n, "x7-value-of-it", True) for n in (
            "PGPASSWORD", "HFTOKEN", "HF_TOKEN", "MYSQL_PWD", "DB_PASS", "OPENAI_APIKEY", "DATABASE_URL", "REDIS_URL",
            "mongodb_uri", "SENTRY_DSN", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "GITHUB_PAT", "JWT", "Authorization",
            "SSH_PASSPHRASE", "SLACK_WEBHOOK", "AZURE_STORAGE_CONNECTION_STRING", "SAS", "MY_CREDS", "ACCOUNTKEY", "APP_SECRETS",
        )),
        ("ANYTHING", "hf_abcdefghijklmnopqrst", True),
        ("ANYTHING", "AKIAABCDEFGHIJKLMNOP", True),
        *((n, "x7-value-of-it", False) for n in (
            "HOME", "PWD", "MODEL", "TOKENIZER", "MAX_TOKENS", "AUTHOR", "KEYBOARD", "COMPASS", "PATH", "RAY_AUTH_TOKEN_PATH",
        )),
        ("DEDUP_KEY", "image_hash", False),
        ("RAY_AUTH_MODE", "token", False),
        ("TOKENIZERS_PARALLELISM", "false", False),
    ],
)  # fmt: skip
def test_variables_are_known_by_name_or_content(name: str, value: str, secret: bool) -> None:
    assert is_secret(name, value) == secret


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("http://user:pw@[bad/x", "http://[bad/x"),
        ("http://user:p@ss@host/x", "http://host/x"),
        ("HTTPS://token@[::1/a@b", "HTTPS://[::1/a@b"),
        ("http://host/a@b", "http://host/a@b"),
        ("http://[bad/a@b", "http://[bad/a@b"),
    ],
)
def test_broken_address_keeps_no_password(url: str, clean: str) -> None:
    assert without_credentials(url) == clean


@pytest.mark.parametrize(
    "unit",
    ["a=", "://", "key=", "x-", "%3A%2F%2F", "eyJ", "bearer ", "-----BEGIN PRIVATE KEY-----", "http://a:", "'token", "a.-_", "password: ", "\n"],
)  # fmt: skip
def test_filter_is_linear_in_a_hostile_text(unit: str) -> None:
    """Eight times the text may cost twenty times the time; quadratic work would cost 64 times."""

    def cost_s(size: int) -> float:
        text = unit * (size // len(unit))
        began = time.process_time()
        redact(text)
        return time.process_time() - began

    assert cost_s(400_000) < 20 * max(cost_s(50_000), 0.005)


def test_text_that_held_no_secret_holds_one_once_it_is_known() -> None:
    redactor = Redactor()
    assert [redactor("label of a run"), redactor("label of a run")] == ["label of a run"] * 2
    redactor.add("of a run", "${LABEL}")
    assert redactor("label of a run") == "label ${LABEL}"


AROUND = st.lists(
    st.sampled_from(["http", "://", "//", "/", "\t", "\n", "@", ":", "?", "#", "[", "]", "a", "ü", "2x.jpg"]),
    max_size=9,
).map("".join)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(st.none() | AROUND | AROUND.map("https://u:p@h/{}".format), max_size=30))
def test_columns_of_addresses_lose_what_single_ones_do(urls: list[str | None]) -> None:
    column = pa.array([*urls, "first", *urls], pa.string())
    clean = [without_credentials(url) for url in urls]
    assert clean_urls(column).to_pylist() == [*clean, "first", *clean]
    assert clean_urls(column.slice(len(urls) + 1)).to_pylist() == clean
    assert clean_urls(pa.chunked_array([column, column])).to_pylist() == 2 * [
        *clean,
        "first",
        *clean,
    ]


def test_credentials_beside_bytes_that_are_no_text_are_taken_out() -> None:
    """The pattern is asked of bytes: one for texts would pass over them."""
    odd = pa.array([b"http://\xed\xa0\x80", b"http://u:p@h/x", None]).cast(pa.string(), safe=False)
    assert clean_urls(odd).cast(pa.binary()).to_pylist() == [
        b"http://\xed\xa0\x80",
        b"http://h/x",
        None,
    ]
