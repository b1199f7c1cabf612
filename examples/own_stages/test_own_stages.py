"""Stages as an outsider writes them, tested as every stage is: Arrow in, Arrow out, no Ray."""

import io
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image

from pairmill.demo.show import MODELS
from pairmill.stage import check_stage

sys.path.insert(0, str(Path(__file__).parent))
from labelled import LabelledStage
from resembles import ResemblesStage
from top_fraction import TopFractionStage


def png(colour: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 64), colour).save(out, "PNG")
    return out.getvalue()


def test_pictures_resemble_a_phrase_and_a_broken_one_is_a_rows_error() -> None:
    rows = pa.table({"image": [png("red"), b"no picture", png("blue")]})
    answer = check_stage(ResemblesStage, rows, model=str(MODELS / "clip"), phrase="a red ball")
    red, broken, blue = answer["resembles"].to_pylist()
    assert -1 <= blue < red <= 1
    assert broken is None
    assert answer["error"].to_pylist()[1]["class"] == "decode"


@pytest.mark.parametrize(("share", "best"), [(0.5, [1, 3]), (1.0, [0, 1, 2, 3]), (0.25, [1])])
def test_the_best_share_of_all_rows_is_marked(share: float, best: list[int]) -> None:
    rows = pa.table({"score": [0.1, 0.9, 0.2, 0.9], "uid": list("abcd"), "#order": range(4)})
    answer = check_stage(TopFractionStage, rows, score="score", share=share)
    assert [i for i, top in enumerate(answer["top"].to_pylist()) if top] == best


class Labels(BaseHTTPRequestHandler):
    """Calls a text short or long, and takes no empty one."""

    def do_POST(self) -> None:
        text = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"]
        body = json.dumps({"label": "long" if len(text) > 5 else "short"}).encode()
        self.send_response(200 if text else 422)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def labels() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Labels)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_server_labels_texts_and_what_it_refuses_is_a_rows_error(labels: str) -> None:
    rows = pa.table({"text": ["ball", "", "a red ball"]})
    answer = check_stage(LabelledStage, rows, server=labels)
    assert answer["label"].to_pylist() == ["short", None, "long"]
    assert answer["error"].to_pylist()[1]["class"] == "http_422"
