"""Where a model's files come from: the cache first, the hub once per node, its reasons passed on."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import CLIP
from tests.fake_hub import COMMIT
from tests.later import tensors
from tests.test_models_own_code import TOWERS, own
from tests.tiny import built

pytestmark = pytest.mark.slow
LOOK = """
import sys
from pairmill.errors import PairmillError
from pairmill.plan.references import BadReference, model_identity
from pairmill.models.files import checkpoint_folder
try:
    revision = model_identity(sys.argv[1], None)["revision"]
    print("folder", checkpoint_folder(sys.argv[1], revision))
except (PairmillError, BadReference) as error:
    print("error", error)
"""


CHECK = """
import sys
from pairmill.errors import PairmillError
from pairmill.filters.clip import ClipConfig, ClipStage
for model in sys.argv[1].split():
    try:
        print(ClipStage(ClipConfig(model=model, device="cpu")).examine()[0])
    except PairmillError as error:
        print(error)
"""


LOAD = """
import sys
from pairmill.errors import PairmillError
from pairmill.filters.clip import ClipConfig, ClipStage
from pairmill.plan.references import resolve_references
told = ClipConfig(model=sys.argv[1], device="cpu", dtype="float32", trust_remote_code=TRUSTED)
try:
    stage = ClipStage(resolve_references(told)[0])
    stage.examine()
    stage.setup()
    print(type(stage.model.loaded.model).__name__)
except PairmillError as error:
    print(error)
"""


ASKED = """
import json, sys
from pathlib import Path
from huggingface_hub import HfApi
from pairmill.models.fetching import WHOLE
from pairmill.models.files import checkpoint_folder
model, code, *names = sys.argv[1].split()
asked = []
HfApi.model_info = lambda self, model, **options: asked.append(options["timeout"]) or 1 / 0
told = []
for name in names:
    folder = Path(checkpoint_folder(model, "c" * 40, weights=False))
    kept = (folder / name).read_bytes()
    (folder / name).unlink()
    WHOLE.clear()
    asked.clear()
    for _ in range(3):
        checkpoint_folder(model, "c" * 40, weights=False, code=code == "code")
    told.append(len(asked))
    (folder / name).write_bytes(kept)
print(json.dumps(told))
"""
"""How often the hub, which is away, is asked where one of some files lacks."""


class RunningHub:
    """A hub in a process of its own, and what it sent."""

    def __init__(self, folder: Path, gated: str = "") -> None:
        command = [sys.executable, "tests/fake_hub.py", str(folder)]
        self.process = subprocess.Popen(
            [*command, *(["--gated", gated] if gated else [])], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()

    def stop(self) -> list[str]:
        self.process.terminate()
        assert self.process.stdout is not None
        sent = [] if self.process.stdout.closed else self.process.stdout.read().split("\n")
        self.process.stdout.close()
        self.process.wait()
        return [line.removeprefix("sent ") for line in sent if line]


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Callable[..., RunningHub]]:
    shutil.copytree(CLIP, tmp_path / "hub/org/clip")
    (tmp_path / "hub/org/clip/flax_model.msgpack").write_bytes(b"x")
    running: list[RunningHub] = []

    def start(gated: str = "") -> RunningHub:
        running.append(RunningHub(tmp_path / "hub", gated))
        return running[-1]

    yield start
    for one in running:
        one.stop()


def look(model: str, home: Path, address: str, count: int = 1, script: str = LOOK) -> list[str]:
    """What so many processes at once find of a model."""
    env = {**os.environ, "HF_HOME": str(home), "HF_ENDPOINT": address, "HF_HUB_DISABLE_XET": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, model], env=env, stdout=subprocess.PIPE, text=True
        )
        for _ in range(count)
    ]
    return [p.communicate()[0].strip() for p in processes]


def test_weights_are_fetched_once_per_node_and_then_without_the_hub(hub, tmp_path: Path) -> None:
    running = hub()
    told = look("org/clip", tmp_path / "home", running.address, count=2)
    assert len(set(told)) == 1
    assert told[0].startswith("folder"), told
    sent = running.stop()
    assert sent.count("model.safetensors") == 1
    assert "flax_model.msgpack" not in sent
    assert look("org/clip", tmp_path / "home", running.address) == [told[0]]  # the hub is gone


def test_hub_that_is_away_and_model_that_is_not_there_are_told(hub, tmp_path: Path) -> None:
    running = hub()
    assert "no such model" in look("org/other", tmp_path / "home", running.address)[0]
    running.stop()
    away = look("org/clip", tmp_path / "home", running.address)[0]
    assert away.startswith("error")
    assert "not in the local cache" in away


def test_reason_of_a_gated_model_is_passed_on(hub, tmp_path: Path) -> None:
    running = hub(gated="org/clip")
    told = look("org/clip", tmp_path / "home", running.address)[0]
    assert "gated" in told
    assert "Access to it is restricted." in told
    assert "HF_TOKEN" in told


def test_holes_of_a_hub_model_are_told_before_its_weights_are_fetched(hub, tmp_path: Path) -> None:
    running = hub()
    holed = tmp_path / "hub/org/holed"
    shutil.copytree(tmp_path / "hub/org/clip", holed)
    weights = tensors.load_file(holed / "model.safetensors")
    del weights["logit_scale"]
    weights["visual_projection.weight"] = weights["visual_projection.weight"][:3].clone()
    tensors.save_file(weights, holed / "model.safetensors", metadata={"format": "pt"})
    home = tmp_path / "home"
    (said,) = look("org/clip org/holed", home, running.address, script=CHECK)
    whole, told = said.splitlines()
    size = (tmp_path / "hub/org/clip/model.safetensors").stat().st_size
    assert f"CLIPModel, its weights ({size / 1e9:.3g} GB) yet to be fetched" in whole
    assert "no weights for logit_scale and has a wrong shape of visual_projection.weight" in told
    assert "model.safetensors" not in running.stop()


def loaded(model: str, home: Path, address: str, trusted: bool = False) -> str:
    """The class that a model of the hub is loaded by, or why it is not."""
    return look(model, home, address, script=LOAD.replace("TRUSTED", str(trusted)))[0]


def test_code_of_a_hub_model_is_fetched_when_it_is_trusted(hub, tmp_path: Path) -> None:
    running = hub()
    own(built("clip", tmp_path), tmp_path / "hub/org/own", "CLIPConfig", TOWERS, "AutoModel")
    refused = loaded("org/own", tmp_path / "home", running.address)
    assert "set `trust_remote_code: true`" in refused
    assert loaded("org/own", tmp_path / "home", running.address, trusted=True) == "OwnModel"
    running.stop()
    assert loaded("org/own", tmp_path / "home", running.address, trusted=True) == "OwnModel"


@pytest.mark.parametrize(
    "names",
    [
        ["config.json"],  # a download that was broken off, or a look at the config
        ["config.json", "model.safetensors"],  # who loads a model alone
        ["config.json", "tokenizer.json", "tokenizer_config.json"],
        ["open_clip_config.json", "open_clip_model.safetensors", "config.json"],
    ],
    ids=lambda names: f"{len(names)}-{names[-1]}",
)
def test_part_of_a_model_in_the_cache_is_completed(hub, tmp_path: Path, names: list[str]) -> None:
    running = hub()
    place = tmp_path / "hub/org/clip"
    shutil.copy(place / "model.safetensors", place / "open_clip_model.safetensors")
    (place / "open_clip_config.json").write_text("{}")
    cache = tmp_path / "home/hub/models--org--clip"
    snapshot = cache / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (cache / "refs").mkdir()
    (cache / "refs/main").write_text(COMMIT)
    for name in names:
        shutil.copy(place / name, snapshot)
    assert loaded("org/clip", tmp_path / "home", running.address) == "CLIPModel"
    running.stop()
    assert loaded("org/clip", tmp_path / "home", running.address) == "CLIPModel"


def test_download_that_was_broken_off_goes_on(hub, tmp_path: Path) -> None:
    running = hub()
    told = look("org/clip", tmp_path / "home", running.address)[0]
    snapshot = Path(told.removeprefix("folder "))
    (snapshot / "tokenizer.json").unlink()
    assert loaded("org/clip", tmp_path / "home", running.address) == "CLIPModel"


def test_part_of_a_model_is_taken_as_it_is_where_the_hub_is_away(hub, tmp_path: Path) -> None:
    running = hub()
    (tmp_path / "hub/org/clip/added_tokens.json").write_text("{}")
    snapshot = Path(look("org/clip", tmp_path / "home", running.address)[0].split()[-1])
    (snapshot / "added_tokens.json").unlink()
    running.stop()
    assert loaded("org/clip", tmp_path / "home", running.address) == "CLIPModel"


def test_hub_is_asked_once_and_only_for_what_a_model_needs(hub, tmp_path: Path) -> None:
    """A licence or a second form of the vocabulary made each use of a model wait for the hub."""
    running = hub()
    place = tmp_path / "hub/org/clip"
    others = {"LICENSE.txt": 0, "vocab.txt": 0, "merges.txt": 0}
    needed = {"tokenizer.json": 1, "tokenizer_config.json": 1, "chat_template.jinja": 1}
    for name in [*others, "chat_template.jinja"]:
        (place / name).write_text("x")
    look("org/clip", tmp_path / "home", running.address)
    running.stop()
    asked = others | needed
    (said,) = look(
        f"org/clip plain {' '.join(asked)}", tmp_path / "home", running.address, script=ASKED
    )
    assert json.loads(said) == list(asked.values())


def put(home: Path, name: str, files: dict[str, object]) -> Path:
    """A model in the cache, as a program that fetches file by file leaves it."""
    snapshot = home / f"hub/models--org--{name}/snapshots" / COMMIT
    for path, content in files.items():
        (snapshot / path).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / path).write_text(json.dumps(content))
    return snapshot


def test_hub_is_not_asked_for_what_a_model_has_by_another_name(tmp_path: Path) -> None:
    home, away = tmp_path / "home", "http://127.0.0.1:9"
    put(home, "timm", {"config.json": {"architecture": "vit_tiny_patch16_224"}, "x": 0})
    assert look("org/timm plain x", home, away, script=ASKED) == ["[0]"]
    own = {"model_type": "own", "auto_map": {"AutoModel": "parts.own.OwnModel"}}
    files = {"config.json": own, "parts/own.py": "", "tokenizer.json": {}, "x": 0}
    put(home, "own", files)
    assert look("org/own code x parts/own.py", home, away, script=ASKED) == ["[0, 1]"]


def test_cache_that_cannot_be_written_to_gives_what_it_has(hub, tmp_path: Path) -> None:
    running = hub()
    shutil.copytree(tmp_path / "hub/org/clip", tmp_path / "hub/org/other")
    home = tmp_path / "home"
    told = look("org/clip", home, running.address)
    (Path(told[0].removeprefix("folder ")) / "tokenizer_config.json").unlink()
    shutil.rmtree(home / "hub/.locks")
    (home / "hub/.locks").write_text("in the way of locks, as a cache that others keep is")
    assert look("org/clip", home, running.address) == told
    refused = look("org/other", home, running.address)[0]
    assert "error model 'org/other' cannot be fetched: FileExistsError" in refused


def test_weights_are_fetched_in_one_form_alone(hub, tmp_path: Path) -> None:
    place = tmp_path / "hub/org/clip"
    running = hub()
    others = ["open_clip_model.safetensors", "consolidated.safetensors", "model.fp16.safetensors"]
    for name in [*others, "pytorch_model.bin"]:
        shutil.copy(place / "model.safetensors", place / name)
    assert loaded("org/clip", tmp_path / "home", running.address) == "CLIPModel"
    sent = {name for name in running.stop() if name.endswith((".safetensors", ".bin"))}
    assert sent - {"began model.safetensors"} == {"model.safetensors"}
