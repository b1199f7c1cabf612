"""A download stage against a hostile server, for the tests of several files."""

import pyarrow as pa
from PIL import Image

from pairmill.stages.download.config import DownloadConfig
from pairmill.stages.download.stage import DownloadStage
from tests.conftest import jpeg
from tests.hostile_web import Answer, http

PICTURE = jpeg(Image.effect_noise((64, 48), 60).convert("RGB"))


def fine(host: str, path: str) -> Answer:
    return http(200, PICTURE, Content_Type="image/jpeg"), ""


def download(
    urls: list[str], port: int, ask: object = None, **options: object
) -> list[dict[str, object]]:
    base = {
        "timeout": 2.0,
        "retries": 0,
        "backoff_s": 0.05,
        "resolve": {"*.test": f"127.0.0.1:{port}"},
        "user_agent_token": "pairbot",
    }
    stage = DownloadStage(DownloadConfig(**{**base, **options}))  # type: ignore[arg-type]
    stage.ask = ask  # type: ignore[assignment]
    stage.setup()
    try:
        return stage(pa.table({"url": urls})).to_pylist()
    finally:
        stage.close()


def errors(rows: list[dict[str, object]]) -> list[str]:
    return [r["error"]["class"] if r["error"] else "" for r in rows]  # type: ignore[index]
