"""The kinds of attack: each strikes once, by chance, and says whether the file was refused with a
message or taken; anything else is a fault.
"""

import io
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import attack_seeds as seeds

from pairmill.api import Pipeline
from pairmill.errors import PairmillError
from pairmill.images import DecodeError, decode_rgb
from pairmill.report.page import rebuild
from pairmill.safe_output import CONTROL, SafeConsole
from pairmill.terminal.inspecting import inspect_path
from pairmill.workspace.contents import existing_workspace, unused
from pairmill.workspace.storage import Storage
from pairmill.workspace.verify import verify_workspace

FILE = """
name: attacked
source: {type: parquet, path: good.parquet, rows_per_shard: 8}
stages: [{stage: text_rules}, {stage: dedup, "on": [text]}]
outputs: [{type: webdataset, path: out, samples_per_shard: 10}]
"""
REFUSED, TAKEN = "refused with a message", "taken"


class Fault(AssertionError):
    """What must not happen."""


class Place:
    """A folder with a finished run, and a canary beside it that nothing may touch."""

    def __init__(self, folder: Path) -> None:
        self.pictures = seeds.pictures()
        self.sources = seeds.sources(self.pictures["JPEG RGB"])
        self.home, self.canary = folder / "home", folder / "canary"
        self.canary.mkdir()
        (self.canary / "precious.txt").write_text("precious")
        self.home.mkdir()
        seeds.table(self.pictures["JPEG RGB"]).write_parquet(self.home / "good.parquet")
        (self.home / "p.yaml").write_text(FILE)
        Pipeline.from_yaml(self.home / "p.yaml").run(local=True, progress=False)
        self.sound = folder / "sound"
        shutil.copytree(self.home, self.sound)
        self.package = seeds.tree(self.home / "out")

    def renew(self) -> None:
        shutil.rmtree(self.home)
        shutil.copytree(self.sound, self.home)

    def check_canary(self) -> None:
        if seeds.tree(self.canary) != {"precious.txt": b"precious"}:
            raise Fault("a file outside the folder was touched")


def told(work: Callable[[], object]) -> str:
    try:
        work()
    except (PairmillError, OSError) as error:
        if CONTROL.search(str(error).replace("\n", " ")) and isinstance(error, PairmillError):
            text = shown(str(error))
            if CONTROL.search(text.replace("\n", " ")):
                raise Fault(f"control characters in {text!r}") from None
        if not str(error).strip():
            raise Fault("a message that says nothing") from None
        return REFUSED
    return TAKEN


def shown(text: str) -> str:
    console = SafeConsole(file=io.StringIO(), width=300)
    console.print(text)
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def differing(place: Place) -> list[str]:
    """Files of samples that are not as an undisturbed run writes them."""
    found = seeds.tree(place.home / "out")
    samples = (n for n in place.package if n.endswith((".tar", ".parquet")))
    return [name for name in samples if found.get(name) != place.package[name]]


def image(place: Place, rng: random.Random) -> str:
    """A spoiled picture through the decoder that sources, stages and reports share."""
    data = seeds.spoiled(place.pictures[rng.choice(sorted(place.pictures))], rng)
    try:
        decode_rgb(data)
    except DecodeError as error:
        return REFUSED if str(error) else ""
    return TAKEN


def source(place: Place, rng: random.Random) -> str:
    """A spoiled input file through a whole run in this process."""
    name, data = place.sources[rng.choice(sorted(place.sources))]
    folder = place.home / "strange"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / name).write_bytes(seeds.spoiled(data, rng))
    kind = "webdataset" if ".tar" in name else "parquet" if name.endswith("parquet") else "pairs"
    (folder / "p.yaml").write_text(
        f"name: strange\nsource: {{type: {kind}, path: {name}}}\nstages: [{{stage: text_rules}}]\n"
    )
    return told(lambda: Pipeline.from_yaml(folder / "p.yaml").run(local=True, progress=False))


def manifest(place: Place, rng: random.Random) -> str:
    """A package with a twisted manifest: looked at, reported of, verified, written again."""
    file = place.home / "out/manifest.json"
    value = json.loads((place.sound / "out/manifest.json").read_text())
    for _ in range(rng.choice((1, 1, 3))):
        value = seeds.twisted(value, rng)
    file.write_text(json.dumps(value))
    out = SafeConsole(file=io.StringIO(), width=200)
    found = [
        told(lambda: inspect_path(str(file.parent), 2, True, out)),
        told(lambda: rebuild([str(file.parent)])),
    ]
    file.write_text(json.dumps(value))
    found.append(
        told(lambda: Pipeline.from_yaml(place.home / "p.yaml").run(local=True, progress=False))
    )
    if found[-1] == TAKEN and (wrong := differing(place)):
        raise Fault(f"after a run over a twisted manifest {wrong[0]} is not the sound one")
    place.renew()
    return REFUSED if REFUSED in found else TAKEN


def report(place: Place, rng: random.Random) -> str:
    """Twisted JSON of a run and its report: shown, compared, collected."""
    run = next((place.home / "workspace/runs").iterdir())
    name = rng.choice(("report/data.json", "plan.json", "metrics.json"))
    (run / name).write_text(json.dumps(seeds.twisted(json.loads((run / name).read_text()), rng)))
    sound = next((place.sound / "workspace/runs").iterdir())
    out = SafeConsole(file=io.StringIO(), width=200)
    found = [
        told(lambda: inspect_path(str(run), 2, False, out)),
        told(lambda: rebuild([str(sound), str(run)])),
        told(lambda: unused(existing_workspace(str(place.home / "workspace")))),
    ]
    for page in (sound / "report").glob("against-*"):
        page.unlink()
    place.renew()
    return REFUSED if REFUSED in found else TAKEN


def workspace(place: Place, rng: random.Random) -> str:
    """Bits flipped in a stored file; the run's package is the sound one, or there is a message."""
    files = sorted(
        p
        for p in (place.home / "workspace").rglob("*")
        if p.is_file() and p.suffix in (".parquet", ".json")
    )
    file = rng.choice([f for f in files if "report" not in f.parts])
    data = bytearray(file.read_bytes())
    at = rng.randrange(len(data))
    data[at] ^= 1 << rng.randrange(8)
    file.write_bytes(data)
    checked = verify_workspace(Storage(str(place.home / "workspace"))).faults
    shutil.rmtree(place.home / "out")
    answer = told(lambda: Pipeline.from_yaml(place.home / "p.yaml").run(local=True, progress=False))
    if answer == TAKEN and (wrong := differing(place)):
        raise Fault(f"a flipped bit of {file.name} (byte {at}) changed {wrong[0]} without a word")
    place.renew()
    return REFUSED if answer == REFUSED or checked else TAKEN


def pipeline_file(place: Place, rng: random.Random) -> str:
    """A spoiled pipeline file."""
    file = place.home / "q.yaml"
    file.write_text(seeds.mistyped(FILE, rng), encoding="utf-8")
    return told(lambda: Pipeline.from_yaml(file).plan())


KINDS: dict[str, Callable[[Place, random.Random], str]] = {
    "images": image, "input files": source, "manifests": manifest, "reports": report,
    "workspaces": workspace, "pipeline files": pipeline_file,
}  # fmt: skip
SHARES = {
    "images": 40,
    "input files": 4,
    "manifests": 1,
    "reports": 2,
    "workspaces": 2,
    "pipeline files": 10,
}
"""How many of a kind come in one round."""
