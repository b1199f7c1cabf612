"""One loaded model that several stages of a process ask."""

import threading
import time
from pathlib import Path

import pytest

from pairmill.captioners.chat import Chat
from pairmill.captioners.engine import Message, Request
from tests.test_models_caption import ready
from tests.tiny import built

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.slow
def test_two_stages_with_one_model_never_use_its_tokenizer_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told how to pad by one call and asked by the next: another's between them made a batch
    of BLIP-2 fail.
    """
    stages = [
        ready(built("text", tmp_path), image=None, prompt=p) for p in ("{text}", "Say {text}")
    ]
    engines = [stage.engine.engine for stage in stages]
    assert engines[0].loaded is engines[1].loaded
    inside, most = [], []
    encode = Chat.encode

    def watched(chat: Chat, requests: object) -> object:
        inside.append(chat)
        most.append(len(inside))
        time.sleep(0.05)  # long enough for the other to come
        found = encode(chat, requests)
        inside.remove(chat)
        return found

    monkeypatch.setattr(Chat, "encode", watched)
    requests = [Request((Message("user", "a red car"),))]
    threads = [threading.Thread(target=one.begin, args=(requests,)) for one in engines * 2]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert most == [1] * 4
