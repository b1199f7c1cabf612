"""Download: which addresses may be connected to, and hosts whose pictures cost decoders."""

from ipaddress import IPv6Network
from pathlib import Path

import pytest

from pairmill.stages.download.config import DownloadConfig
from pairmill.stages.download.hosts import FREE_DECODE_S, Host
from pairmill.stages.download.special_ranges import is_public
from tests.downloading import PICTURE, download, errors, fine
from tests.hostile_web import Answer, hostile_web, http

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

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


@pytest.mark.slow
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


@pytest.mark.slow
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
