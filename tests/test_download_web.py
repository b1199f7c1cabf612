"""Download: what is sent is what is written, and what curl and browsers take is taken."""

import datetime
import os
import signal
import ssl
from ipaddress import IPv6Network
from pathlib import Path

import pytest

from pairmill.errors import RunError
from pairmill.stages.download.config import DownloadConfig
from pairmill.stages.download.decoder import MOST_FAILED_STARTS, Decoder
from pairmill.stages.download.hosts import FREE_DECODE_S, Host
from pairmill.stages.download.lenient import MOST_HEAD_BYTES
from pairmill.stages.download.special_ranges import is_public
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


def test_tls_is_verified_unless_told_to_ignore(tmp_path: Path) -> None:
    with hostile_web(fine, tls=certificate(tmp_path)) as web:
        assert errors(download(["https://a.test/1"], web.port)) == ["tls"]
        assert errors(download(["https://a.test/1"], web.port, tls="ignore")) == [""]


NOT_PUBLIC = """192.0.0.9 192.0.0.192 192.88.99.1 168.63.129.16 100.100.100.200 198.18.0.1 203.0.113.9 240.0.0.1
3fff::1 3fff:fff::1 2001:db8::1 2001::1 2001:10::1 2001:2::1 100::1 5f00::1 fd00:ec2::254 fd20:ce::254 64:ff9b:1::1 ::a9fe:a9fe
::ffff:168.63.129.16 ::ffff:0:10.0.0.1 64:ff9b::a83f:8110 2002:a83f:8110::1 2606:4700::5efe:10.0.0.1 2606:4700::200:5efe:169.254.169.254
fe80::1%eth0 4000::1""".split()  # fmt: skip


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_special_ranges_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "168.63.129.17", "192.0.1.1", "2606:4700::1111", "2606:4700::5efe:8.8.8.8", "2400:cb00::1", "2002:808:808::1"])  # fmt: skip
def test_others_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("length", [32, 40, 48, 56, 64, 96])
def test_nat64_prefix_of_a_site_is_judged_by_the_address_inside(length: int) -> None:
    """The examples of RFC 6052, 2.4, for 192.0.2.33, and the same places for 8.8.8.33."""
    prefix = {32: "2001:db8::", 40: "2001:db8:100::", 48: "2001:db8:122::", 56: "2001:db8:122:300::", 64: "2001:db8:122:344::", 96: "2001:db8:122:344::"}[length]  # fmt: skip
    inside = {32: "2001:db8:{0}{1}:{2}{3}::", 40: "2001:db8:1{0}:{1}{2}:{3}::", 48: "2001:db8:122:{0}{1}:{2}:{3}00::", 56: "2001:db8:122:3{0}:{1}:{2}{3}::", 64: "2001:db8:122:344:{0}:{1}{2}:{3}00::", 96: "2001:db8:122:344::{0}{1}:{2}{3}"}[length]  # fmt: skip
    network = IPv6Network(f"{prefix}/{length}")
    byte = lambda values: inside.format(*(f"{v:02x}" for v in values))  # noqa: E731
    for address, public in (((192, 0, 2, 33), False), ((8, 8, 8, 33), True), ((10, 8, 8, 8), False)):  # fmt: skip
        assert is_public(byte(address), [network]) is public, byte(address)
    assert not is_public(byte((8, 8, 8, 33)))


@pytest.mark.parametrize("entry", ["10.*", "*.1", "192.168.*.*", "*", "a.*", "*a.test", "http://a.test", "a.test:80", "10.0.0.0/40", "*.", "a b", "a[bc].test"])  # fmt: skip
def test_private_hosts_are_names_suffixes_and_networks_alone(entry: str) -> None:
    with pytest.raises(ValueError, match="host"):
        DownloadConfig(allow_private_hosts=[entry])


def test_private_hosts_match_by_name_suffix_and_network() -> None:
    urls = ["http://127.0.0.1:{}/", "http://localhost:{}/", "http://LocalHost:{}/", "http://[::ffff:127.0.0.1]:{}/"]  # fmt: skip
    for allowed, right in (
        (["localhost"], ["policy", "", "", "policy"]), (["127.0.0.0/8", "::1"], ["", "", "", ""]), (["127.0.0.1", "::1/128"], ["", "", "", ""]),
        (["*.localhost"], ["policy"] * 4), (["10.0.0.0/8"], ["policy"] * 4),
    ):  # fmt: skip
        with hostile_web(fine) as web:
            here = [url.format(web.port) for url in urls]
            found = download(here, 1, resolve={}, allow_private_hosts=allowed)
        assert errors(found) == right, allowed


def test_robots_txt_is_not_fetched_from_blocked_addresses(tmp_path: Path) -> None:
    (tmp_path / "urls").write_text("bad.test\n")

    def answers(host: str, path: str) -> Answer:
        if (host, path) == ("a.test", "/robots.txt"):
            return http(302, Location="http://bad.test/robots.txt"), ""
        return fine(host, path)

    with hostile_web(answers) as web:
        found = download(["http://a.test/1"], web.port, robots_txt=True, block_urls=str(tmp_path / "urls"))  # fmt: skip
    assert errors(found) == ["policy"]
    assert web.asked == {"a.test/robots.txt": 1}


def test_blocked_address_is_known_in_any_spelling(tmp_path: Path) -> None:
    (tmp_path / "urls").write_text("http://a.test/b%20c/d.jpg?x=1\n")
    urls = ["http://a.test/b c/d.jpg?x=1", "http://A.test:80/%62%20c/d.jpg?x=1#f", "http://a.test/b%20c/d.jpg?x=2"]  # fmt: skip
    with hostile_web(fine) as web:
        found = download(urls, web.port, block_urls=str(tmp_path / "urls"))
    assert errors(found) == ["policy", "policy", ""]


def test_decoding_time_counts_against_its_host() -> None:
    """A host waits for what its pictures cost beyond the usual, and for a while after several that
    decoders died of.
    """
    host = Host(4, None)
    host.cost(FREE_DECODE_S / 2)
    assert host.next_start == 0
    host.cost(FREE_DECODE_S + 500)
    assert host.next_start > 400
    for _ in range(3):
        host.failed("decode", 3, 60)
    assert host.closed_s() > 0


def test_bodies_that_wait_for_decoders_keep_the_places_of_their_host() -> None:
    """Pictures that take the whole time of a decoder, from a host of two connections: the others'
    rows end, and no third request is made before the first body is done with.
    """
    with hostile_web(lambda host, path: (http(200, PICTURE), "")) as web:
        found = download(
            [f"http://slow.test/{n}" for n in range(12)], web.port, host_connections=2, host_failures=2, decode_timeout_s=1e-6
        )  # fmt: skip
    assert set(errors(found)) == {"decode"}
    assert web.asked.total() <= 4
    assert "left alone" in found[-1]["error"]["message"]  # type: ignore[index]


def test_decoder_that_is_killed_while_it_starts_costs_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        f"if os.path.exists({str(tmp_path / 'kill')!r}) and any('decoder' in a for a in sys.orig_argv):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    decoder = Decoder(DownloadConfig())
    try:
        assert decoder(PICTURE, None).stored is not None
        assert decoder.child is not None
        os.kill(decoder.child.pid, signal.SIGKILL)
        assert decoder(PICTURE, None).error is not None
        (tmp_path / "kill").touch()
        lost = decoder(PICTURE, None)
        assert lost.error is not None
        assert "died while it started (SIGKILL)" in lost.error[1]
        (tmp_path / "kill").unlink()
        assert decoder(PICTURE, None).stored is not None
        decoder.stop()
        (tmp_path / "kill").touch()
        for _ in range(MOST_FAILED_STARTS - 1):
            assert decoder(PICTURE, None).error is not None
        with pytest.raises(RunError, match="does not start"):
            decoder(PICTURE, None)
    finally:
        decoder.stop()
