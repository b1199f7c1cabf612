"""Options of the download stage; the names and meanings of img2dataset where it has the same."""

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from pairmill.schemas.config import FILE, SPEED, Reach, StageConfig
from pairmill.stages.download.addresses import host_entry
from pairmill.stages.download.special_ranges import nat64_network

ResizeMode = Literal["no", "border", "keep_ratio", "center_crop", "keep_ratio_largest"]
TRANSIENT = ("timeout", "connect", "dns", "http_429", "http_5xx")
"""Classes of failures that another attempt may mend."""
OPT_OUT_DIRECTIVES = ["noai", "noimageai", "noindex", "noimageindex"]


class DownloadConfig(StageConfig):
    """Fetches images over http(s), checks, resizes and encodes them."""

    stage: Annotated[Literal["download"], SPEED] = "download"
    deadline_s: Annotated[float | None, SPEED] = Field(None, gt=0, le=1e8)
    """None here: every wait has its own timeout, and a batch may rightly wait for a host's limits
    for hours.
    """
    url: str = "url"
    """Column with addresses."""

    engine: Literal["pairmill", "img2dataset"] = "pairmill"
    """`img2dataset`: that package's own code fetches and resizes, without our safety and manners
    (see docs/download.md).
    """
    image_size: int | None = Field(256, ge=16, le=16_384)
    """Target side in pixels; `null` keeps the size (as `resize_mode: no`)."""
    resize_mode: ResizeMode = "keep_ratio"
    """keep_ratio: shorter side to image_size; keep_ratio_largest: longer side; center_crop and
    border: square; no: as it is.
    """
    resize_only_if_bigger: bool = True
    """Never enlarge (img2dataset's default is false)."""
    encode_format: Literal["jpg", "png", "webp"] = "jpg"
    """Format of images that are encoded anew."""
    encode_quality: int = Field(95, ge=1, le=100)
    """JPEG and WebP quality, or PNG compression 0 to 9 where the format is png."""
    skip_reencode: bool = True
    """Keep the original bytes of an image that needs no resizing and is in a common format
    (img2dataset's default is false).
    """
    min_image_size: int = Field(0, ge=0)
    """Refuse images whose shorter side is smaller, in pixels."""
    max_aspect_ratio: float = Field(float("1e9"), ge=1)
    """Refuse images whose longer side is more times the shorter one."""
    max_image_area: int = Field(100_000_000, ge=1)
    """Refuse images with more pixels, before they are decoded."""
    max_bytes: int = Field(50_000_000, ge=1_000)
    """Stop reading a body after so many bytes."""
    extract_exif: bool = False
    """Add the EXIF tags as a JSON column."""
    verify_hash: str | None = None
    """Column with the expected SHA-256 (64 hex digits), MD5 (32) or SHA-512 (128) of the raw bytes;
    others are refused.
    """
    compute_hash: Literal["sha256", "md5", "sha512"] = "sha256"
    """The column `sha256` is always there; another hash gets a column of its own."""
    decode_timeout_s: float = Field(30.0, gt=0, le=3600)
    """Seconds after which the decoder of an image is ended; the row fails as `decode`."""

    block_urls: Annotated[str | None, FILE] = None
    """File of addresses and domains, one a line, that are never fetched; a domain stands for its
    subdomains.
    """
    block_hashes: Annotated[str | None, FILE] = None
    """File of SHA-256 or MD5 hashes of raw bytes, one a line, that are never stored."""
    block_pdq: Annotated[str | None, FILE] = None
    """File of PDQ hashes, 64 hex digits a line, of pictures that are never stored."""
    block_pdq_radius: int = Field(31, ge=0, le=128)
    """Bits of 256 in which a picture may differ from an entry of block_pdq and still count as it
    (31 is PDQ's own advice).
    """

    timeout: Annotated[float, SPEED, Reach("more", "timeout", "connect")] = Field(
        10.0, gt=0, le=3600
    )
    """Seconds for one attempt, from connecting to the last byte."""
    retries: Annotated[int, SPEED, Reach("more", *TRANSIENT)] = Field(2, ge=0, le=20)
    """Further attempts after timeouts, broken connections, 429 and 5xx."""
    backoff_s: Annotated[float, SPEED, Reach("more", *TRANSIENT)] = Field(0.5, ge=0, le=600)
    """First pause before a retry; doubles each time, with jitter."""
    max_retry_after_s: Annotated[float, SPEED, Reach("more", "http_429", "http_5xx")] = Field(
        30.0, ge=0, le=3600
    )
    """Longest Retry-After that is waited for; longer ones end the row as http_429 or http_5xx."""
    max_redirects: int = Field(10, ge=0, le=30)
    """Hops that are followed; each one is checked like the first address."""
    connections: Annotated[int, SPEED] = Field(256, ge=1, le=4096)
    """Requests in flight per worker."""
    host_connections: Annotated[int, SPEED, Reach("less", "http_429", "connect", "timeout")] = (
        Field(8, ge=1, le=1024)
    )
    """Requests in flight to one host, over all workers of the run."""
    host_rate: Annotated[float | None, SPEED, Reach("less", "http_429")] = Field(None, gt=0)
    """Requests per second to one host, over all workers of the run; no limit if absent."""
    user_agent_token: Annotated[str | None, SPEED, Reach("other", "policy")] = Field(
        None, pattern=r"^[A-Za-z0-9_\-]{1,60}$"
    )
    """Your crawler's name: told to servers, and looked for in X-Robots-Tag."""
    user_agent_contact: Annotated[str | None, SPEED] = Field(None, max_length=200)
    """Page or address where site owners reach you; told to servers."""

    opt_out: Literal["allow", "honour", "require_opt_in"] = "honour"
    """What X-Robots-Tag and tdm-reservation decide: nothing, a refusal, or (require_opt_in) that
    only explicit consent counts.
    """
    disallowed_header_directives: list[str] = OPT_OUT_DIRECTIVES
    """Directives that refuse a download; `none` means noindex as well."""
    host_failures: Annotated[int, SPEED, Reach("more", "timeout", "connect", "decode")] = Field(
        10, ge=1
    )
    """Timeouts and broken connections in a row after which a host counts as down: its other rows
    fail at once.
    """
    host_pause_s: Annotated[float, SPEED, Reach("less", "timeout", "connect", "decode")] = Field(
        120.0, ge=0, le=86_400
    )
    """Seconds for which a host that is down is left alone."""
    robots_txt: bool = False
    """Fetch each origin's robots.txt first and obey it."""
    allow_private_hosts: Annotated[list[str], SPEED, Reach("other", "policy")] = []
    """What may lie in private or loopback networks: hosts by name (`cdn.internal`) or domain
    (`*.internal`), and addresses or networks (`10.1.0.0/16`), by whatever name they are reached.
    """
    nat64_prefixes: Annotated[list[str], SPEED, Reach("other", "policy")] = []
    """This network's own NAT64 prefixes (RFC 6052, such as `2001:db8:64::/96`): of an address in
    one, the IPv4 address inside counts.
    """
    tls: Annotated[Literal["verify", "ignore"], SPEED, Reach("other", "tls")] = "verify"
    """`ignore` takes any certificate: expired, of another host, of nobody."""
    resolve: Annotated[
        dict[str, str], SPEED, Reach("other", "policy", "dns", "connect", "timeout", "tls")
    ] = {}
    """Host → address or address:port, as curl's --resolve; such hosts need no entry in
    allow_private_hosts.
    """

    max_failures: Annotated[float, SPEED] = Field(0.98, ge=0, le=1)
    """Share of rows that may fail before the run stops; much of the web is gone, so it is high
    here.
    """
    batch_size: Annotated[int, SPEED] = Field(1024, ge=1, le=65_536)
    """Rows whose downloads run side by side."""

    @model_validator(mode="after")
    def _peer_engine(self) -> "DownloadConfig":
        if self.engine == "img2dataset":
            own = [
                "resolve",
                "robots_txt",
                "block_urls",
                "block_hashes",
                "block_pdq",
                "host_rate",
                "extract_exif",
                "nat64_prefixes",
            ]
            if wrong := [name for name in own if getattr(self, name)]:
                raise ValueError(
                    f"engine: img2dataset knows no {', '.join(wrong)}; leave it out, or use "
                    "pairmill's own engine"
                )
            if self.opt_out == "require_opt_in":
                raise ValueError(
                    "engine: img2dataset cannot require an opt-in; use pairmill's own engine"
                )
            if self.allow_private_hosts != ["*"]:
                raise ValueError(
                    "engine: img2dataset fetches from private addresses, too; say that you know it "
                    "with `allow_private_hosts: ['*']`"
                )
        elif "*" in self.allow_private_hosts:
            raise ValueError(
                "allow_private_hosts: `*` is no host; name hosts, or networks (0.0.0.0/0, ::/0)"
            )
        return self

    @field_validator("allow_private_hosts")
    @classmethod
    def _hosts(cls, hosts: list[str]) -> list[str]:
        return [host if host == "*" else host_entry(host) for host in hosts]

    @field_validator("nat64_prefixes")
    @classmethod
    def _prefixes(cls, prefixes: list[str]) -> list[str]:
        for prefix in prefixes:
            nat64_network(prefix)
        return prefixes

    @field_validator("resolve")
    @classmethod
    def _addresses(cls, hosts: dict[str, str]) -> dict[str, str]:
        for host, target in hosts.items():
            if not re.fullmatch(r"[0-9.]+(:\d{1,5})?|\[?[0-9a-fA-F:]+\]?(:\d{1,5})?", target):
                raise ValueError(f"{host}: {target!r} is no address or address:port")
        return hosts

    def agent(self) -> str:
        """The crawler's name, for servers, robots.txt and X-Robots-Tag alike."""
        return self.user_agent_token or "pairmill"

    def user_agent(self) -> str:
        """`token/1.0 (+contact; pairmill)`: it tells who asks and with what."""
        token = self.agent()
        contact = f"+{self.user_agent_contact}; " if self.user_agent_contact else ""
        return f"{token}/1.0 ({contact}pairmill image-text curation)"
