"""Download: what is sent is what is written, and what curl and browsers take is taken."""

import datetime
import ssl
from pathlib import Path

import pytest

from pairmill.stages.download.lenient import MOST_HEAD_BYTES
from pairmill.stages.download.urls import as_spelled, pointed_to
from tests.downloading import PICTURE, download, errors, fine
from tests.hostile_web import Answer, hostile_web, http

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

SPELLINGS = [
    "/b/k%2Fe%2fy%20z.jpg?X-Amz-Signature=ab%2Bc%3D&X-Amz-Date=1+2",
    "/unsafe/300x200/filters:quality(80)/https://b.test/a%2520b/c.jpg",
    "/%7Euser/a;v=1,2/(x)/[y]/{z}/a|b/!$&'*@:=.jpg",
    "/a//b/./c/../d%zz?q=%41%e9&r=a+b%20c&s=/?:@",
    "/plain%C3%A9?%C3%A9=%c3%a9",
]


@pytest.mark.slow
def test_address_is_sent_as_it_is_spelled_and_so_is_where_it_redirects() -> None:
    def answers(host: str, asked: str) -> Answer:
        if asked.startswith("/to-"):
            return http(302, Location=SPELLINGS[int(asked[4:])]), ""
        return fine(host, asked)

    direct = [f"http://a.test{path}" for path in SPELLINGS]
    with hostile_web(answers) as web:
        found = download([*direct, *(f"http://a.test/to-{n}" for n in range(5))], web.port)
    assert errors(found) == [""] * 10
    assert {path: web.asked[f"a.test{path}"] for path in SPELLINGS} == dict.fromkeys(SPELLINGS, 2)
    assert [row["final_url"] for row in found] == direct * 2


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("  http://A.test:80/x y\u00e9\n", "http://a.test/x%20y%C3%A9"), ("http://b\u00fccher.test/\udce9", "http://xn--bcher-kva.test/%E9"),
        ("http://a.test?x=1#f", "http://a.test/?x=1"), ("http://u:p@a.test/x@y", "http://a.test/x@y"), ("http://a.test\\b\\c", "http://a.test/b/c"),
    ],
)  # fmt: skip
def test_what_http_cannot_send_is_written_as_browsers_do(written: str, sent: str) -> None:
    assert str(as_spelled(written)) == sent


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/a//b%2F+", "http://a.test/a//b%2F+"), ("?y", "http://a.test/p/q?y"), ("r/../s/./t%2e", "http://a.test/p/s/t%2e"), ("../../../z", "http://a.test/z"),
        ("//b.test/c", "http://b.test/c"), ("#f", "http://a.test/p/q?x"), ("https://b.test", "https://b.test/"), ("..", "http://a.test/"),
    ],
)  # fmt: skip
def test_redirects_lead_where_the_standard_says(location: str, target: str) -> None:
    assert str(pointed_to(as_spelled("http://a.test/p/q?x"), location)) == target


def test_up_to_ten_redirects_are_followed_and_every_2xx_is_an_answer() -> None:
    def answers(host: str, path: str) -> Answer:
        kind, _, number = path[1:].partition("-")
        if kind == "hop" and number != "0":
            return http(302, Location=f"/hop-{int(number) - 1}"), ""
        if kind == "status":
            return http(int(number), b"" if number == "204" else PICTURE), ""
        return fine(host, path)

    urls = [f"http://a.test/hop-{n}" for n in (10, 11)]
    urls += [f"http://a.test/status-{s}" for s in (201, 203, 206, 226, 204, 302, 404, 999)]
    with hostile_web(answers) as web:
        found = download(urls, web.port)
    assert errors(found) == ["", "policy", "", "", "", "", "not_image", "protocol", "http_4xx", "http_4xx"]  # fmt: skip
    assert "without a Location" in found[7]["error"]["message"]  # type: ignore[index]


LENGTH = b"Content-Length: %d\r\n" % len(PICTURE)
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = b"%x\r\n" % len(PICTURE) + PICTURE + b"\r\n0\r\n\r\n"
TAKEN = {
    "case": b"http/1.1 200 ok\r\n" + LENGTH + b"\r\n" + PICTURE,
    "two": b"HTTP/2 200\r\n" + LENGTH + b"\r\n" + PICTURE,
    "blanks": b"HTTP/1.1  200  OK \r\n" + LENGTH + b"\r\n" + PICTURE,
    "line-feeds": b"HTTP/1.1 200 OK\n" + LENGTH.replace(b"\r", b"") + b"\n" + PICTURE,
    "before-colon": OK + b"X-A : b\r\n" + LENGTH.replace(b":", b" :") + b"\r\n" + PICTURE,
    "name": OK + b"X A: b\r\nX(\xc3\xa9)@: c\r\n: d\r\n" + LENGTH + b"\r\n" + PICTURE,
    "no-header": OK + b"garbage\r\n" + LENGTH + b"\r\n" + PICTURE,
    "control": OK + b"X-A: a\x00\x01\rb\x7f\r\n" + LENGTH + b"\r\n" + PICTURE,
    "folded": OK + b"X-A: a\r\n\tb\r\n c\r\n" + LENGTH + b"\r\n" + PICTURE,
    "twice": OK + LENGTH + LENGTH + b"\r\n" + PICTURE,
    "list": OK + LENGTH.replace(b"\r", b", %d\r" % len(PICTURE)) + b"\r\n" + PICTURE,
    "plus": OK + LENGTH.replace(b": ", b": +") + b"\r\n" + PICTURE,
    "no-length": OK + b"Content-Length: none\r\n\r\n" + PICTURE,
    "both": OK + LENGTH + b"Transfer-Encoding: Chunked\r\n\r\n" + CHUNKED,
    "identity": OK + b"Transfer-Encoding: identity\r\n" + LENGTH + b"\r\n" + PICTURE,
    "large": OK + b"Set-Cookie: " + b"a" * 200_000 + b"\r\n" + LENGTH + b"\r\n" + PICTURE,
    "many": OK + b"".join(b"X-%d: y\r\n" % i for i in range(900)) + LENGTH + b"\r\n" + PICTURE,
    "hints": b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + OK + LENGTH + b"\r\n" + PICTURE,
    "more": OK + LENGTH + b"\r\n" + PICTURE + b"<!-- served in 3 ms -->",
    "blank-lines": b"\r\n\r\n" + OK + LENGTH + b"\r\n" + PICTURE,
}


def test_answers_that_curl_and_browsers_take_are_taken() -> None:
    def answers(host: str, path: str) -> Answer:
        return TAKEN[path[1:]], "end" if path == "/no-length" else ""

    with hostile_web(answers) as web:
        found = download([f"http://h{n}.test/{kind}" for n, kind in enumerate(TAKEN)], web.port)
    assert dict(zip(TAKEN, errors(found), strict=True)) == dict.fromkeys(TAKEN, "")
    assert len({row["sha256"] for row in found}) == 1


UNPARSED = {
    "ssh": b"SSH-2.0-OpenSSH_9.9 and no picture\r\n",
    "status": b"HTTP/1.1 2000 OK\r\n\r\n",
    "lengths": OK + b"Content-Length: 3\r\n" + LENGTH + b"\r\n" + PICTURE,
    "coding": OK + b"Content-Encoding: gzip\r\n" + LENGTH + b"\r\n" + PICTURE,
    "endless": OK + b"X: " + b"a" * (MOST_HEAD_BYTES + 10),
    "chunks": OK + b"Transfer-Encoding: chunked\r\n\r\nnone\r\n" + PICTURE,
}


def test_answers_that_cannot_be_parsed_have_a_class_and_count_as_answers() -> None:
    """Twenty of them from one host do not make it count as down; a stalled connection is told from
    them.
    """
    urls = [f"http://one.test/{kind}?{n}" for n in range(4) for kind in UNPARSED]
    with hostile_web(lambda host, path: (UNPARSED[path[1:].partition("?")[0]], "stall")) as web:
        found = download(urls, web.port, host_failures=2, host_connections=2, timeout=5.0)
    assert errors(found) == ["protocol"] * len(urls)
    assert all(row["error"]["message"].startswith("the answer cannot be parsed") for row in found)  # type: ignore[index]
    assert web.asked.total() == len(urls)


def test_body_that_is_cut_off_is_a_broken_connection() -> None:
    cut = {"/length": OK + LENGTH + b"\r\n" + PICTURE[:-9], "/chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKED[:-40]}  # fmt: skip
    with hostile_web(lambda host, path: (cut[path], "end")) as web:
        assert errors(download([f"http://a.test{p}" for p in cut], web.port)) == ["connect"] * 2


def certificate(folder: Path) -> ssl.SSLContext:
    """A server's context with a certificate of nobody, that ran out last year."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "other.test")])
    then = datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, then, then.replace(year=2025))
    signed = made.sign(key, hashes.SHA256())
    (folder / "cert").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    (folder / "key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert", folder / "key")
    return context


@pytest.mark.slow
def test_tls_is_verified_unless_told_to_ignore(tmp_path: Path) -> None:
    with hostile_web(fine, tls=certificate(tmp_path)) as web:
        assert errors(download(["https://a.test/1"], web.port)) == ["tls"]
        assert errors(download(["https://a.test/1"], web.port, tls="ignore")) == [""]
