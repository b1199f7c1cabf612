"""Several packages from one run: `after`, `where`, `order` against brute force, and payload of rows
that only one of them keeps.
"""

import json
import random
from collections.abc import Callable
from functools import cmp_to_key
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from pairmill.api import Pipeline
from pairmill.errors import PipelineFileError
from pairmill.packages.package import verify
from pairmill.run_result import RunResult
from tests.conftest import typed

Write = Callable[[str], Path]
Row = dict[str, Any]
ROWS = 70
SCORES = [None, float("nan"), 0.1, 0.2, 0.3, 0.5, 0.8]
LANGS = [None, "en", "de", "zh"]
HEAD = """
name: several
source: {type: pairs, path: rows.parquet, rows_per_shard: 16}
stages:
"""


def run(file: Path) -> RunResult:
    return Pipeline.from_yaml(file).run(local=True, progress=False)


def rows(seed: int, folder: Path) -> list[Row]:
    chance = random.Random(seed)
    made = [
        {
            "uid": f"{chance.getrandbits(128):032x}",
            "text": f"text {i}",
            "score": chance.choice(SCORES),
            "lang": chance.choice(LANGS),
            "words": chance.randrange(12),
        }
        for i in range(ROWS)
    ]
    types = {"score": pl.Float64, "lang": pl.String}
    pl.DataFrame(made, schema_overrides=types).write_parquet(folder / "rows.parquet")
    return made


def number(value: Any) -> Any:
    return None if value != value else value


TESTS: list[tuple[str, Callable[[Row], bool]]] = [
    ("score > 0.15", lambda r: (v := number(r["score"])) is not None and v > 0.15),
    ("score IS NULL OR score < 0.6", lambda r: (v := number(r["score"])) is None or v < 0.6),
    ("lang <> 'de'", lambda r: r["lang"] not in (None, "de")),
    ("lang = 'en' OR words > 3", lambda r: r["lang"] == "en" or r["words"] > 3),
    ("words % 3 <> 0", lambda r: r["words"] % 3 != 0),
    ("length(text) > 5 AND words < 10", lambda r: len(r["text"]) > 5 and r["words"] < 10),
]
KEYS: list[tuple[str, Callable[[Row], Any], bool]] = [
    ("score", lambda r: number(r["score"]), False),
    ("score desc", lambda r: number(r["score"]), True),
    ("words + 1", lambda r: r["words"] + 1, False),
    ("{by: lang, descending: true}", lambda r: r["lang"], True),
    (
        "{by: lang, groups: [zh, en]}",
        lambda r: None if r["lang"] is None else {"zh": 0, "en": 1}.get(r["lang"], 2),
        False,
    ),
]


def before(a: Row, b: Row, keys: list[tuple[str, Callable[[Row], Any], bool]]) -> int:
    """-1 where `a` comes first: null is last in every key, ties go by uid."""
    for _, value, descending in keys:
        x, y = value(a), value(b)
        if x == y:
            continue
        if x is None or y is None:
            return 1 if x is None else -1
        return (-1 if x < y else 1) * (-1 if descending else 1)
    return -1 if a["uid"] < b["uid"] else 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_packages_hold_what_brute_force_chooses_in_the_order_asked_for(
    write: Write, tmp_path: Path, seed: int
) -> None:
    """Random gates, four outputs each with gates up to a random stage, a random `where` and order;
    the uids output takes part.
    """
    every, chance = rows(seed, tmp_path), random.Random(seed + 1000)
    gates = chance.sample(TESTS, 3)
    text = HEAD + "".join(
        f"  - {{stage: filter, name: g{i}, keep: {json.dumps(gate)}}}\n"
        for i, (gate, _) in enumerate(gates)
    )
    text, expected = f"{text}outputs:\n", []
    for i in range(4):
        upto = chance.randrange(4)
        where = chance.choice([None, *TESTS])
        keys = chance.sample(KEYS, chance.randrange(3))
        after = chance.choice([None, "g2"]) if upto == 3 else ["source", "g0", "g1"][upto]
        shuffled = "" if keys else ", shuffle: false"
        parts = [f"{{type: table, columns: [uid, words], path: out{i}{shuffled}"]
        parts += [f"after: {after}"] if after else []
        parts += [f"where: {json.dumps(where[0])}"] if where else []
        parts += [f"order: [{', '.join(k[0] for k in keys)}]"] if keys else []
        text += f"  - {', '.join(parts)}}}\n"
        alive = [r for r in every if all(holds(r) for _, holds in gates[:upto])]
        chosen = [r for r in alive if where is None or where[1](r)]
        if keys:
            chosen.sort(key=cmp_to_key(lambda a, b, keys=keys: before(a, b, keys)))
        expected.append((len(alive), [r["uid"] for r in chosen]))
    where = chance.choice(TESTS)
    text += f"  - {{type: uids, path: subset, after: g0, where: {json.dumps(where[0])}}}\n"
    result = run(write(text))
    for i, (alive, uids) in enumerate(expected):
        files = sorted((tmp_path / f"out{i}").glob("data/*.parquet"))
        found = [u for f in files for u in pl.read_parquet(f)["uid"].to_list()]
        assert found == uids, (i, text)
        manifest = json.loads((tmp_path / f"out{i}/manifest.json").read_text())
        told = manifest["selection"]
        assert (told["rows"], told["left_out"]) == (alive, alive - len(uids))
        assert manifest["funnel"]["kept"] == alive
        assert verify(str(tmp_path / f"out{i}")) == []
    wanted = {r["uid"] for r in every if gates[0][1](r) and where[1](r)}
    pairs = np.load(tmp_path / "subset/uids.npy") if wanted else []
    assert {f"{int(a):016x}{int(b):016x}" for a, b in pairs} == wanted
    assert result.funnel.kept == sum(all(holds(r) for _, holds in gates) for r in every)


@pytest.mark.slow
def test_package_after_a_stage_is_that_of_a_pipeline_that_ends_there(
    write: Write, tmp_path: Path
) -> None:
    rows(7, tmp_path)
    stages = [
        "  - {stage: text_rules, keep: words > 1}\n",
        "  - {stage: sample, keep: sample < 0.5}\n",
        '  - {stage: filter, name: last, keep: "score > 0.2"}\n',
    ]
    output = "{type: table, samples_per_shard: 20, path: "
    run(
        write(
            f"{HEAD}{''.join(stages)}outputs:\n  - {output}bulk, after: sample}}\n  - {output}all}}\n"
        )
    )
    run(write(f"{HEAD}{''.join(stages[:2])}outputs: [{output}short}}]\n", "short.yaml"))
    files = {f.name: f.read_bytes() for f in (tmp_path / "bulk/data").iterdir()}
    assert len(files) > 1
    assert files == {f.name: f.read_bytes() for f in (tmp_path / "short/data").iterdir()}
    bulk, short = (
        json.loads((tmp_path / n / "manifest.json").read_text()) for n in ("bulk", "short")
    )
    assert bulk["funnel"] == short["funnel"]
    assert bulk["identities"] == short["identities"]
    everything = pl.read_parquet(tmp_path / "all/data/*.parquet")
    assert set(everything["uid"]) < set(pl.read_parquet(tmp_path / "bulk/data/*.parquet")["uid"])


TILES = """
name: tiles
source: {type: parquet, path: numbers.parquet, rows_per_shard: 20, columns: {position_in: number}}
stages:
  - {stage: "tests.stages_for_tests:TilesStage", store: kept}
  - {stage: "tests.stages_for_tests:TileCountStage", name: counted, keep: counted < 2}
  - {stage: filter, name: even, keep: position_in % 2 = 0}
outputs:
  - {type: parquet, path: strict, shuffle: false, columns: [uid, tiles]}
"""


def tiles_in(folder: Path) -> list[int]:
    tables = [pl.read_parquet(f) for f in sorted(folder.glob("data/*.parquet"))]
    return [len(tiles) for tiles in pl.concat(tables)["tiles"]]


def forgotten(folder: Path) -> int:
    """Rows whose tiles were there and are stored no more."""
    files = folder.glob("workspace/columns/tiles-*/*.parquet")
    return sum(int(pl.read_parquet(f)["tiles#forgotten"].sum()) for f in files)


@pytest.mark.slow
@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize(
    ("after", "tiles", "left"), [("tiles", [0, 1, 2] * 20, 0), ("counted", [0, 1] * 20, 20)]
)
def test_payload_that_only_an_earlier_package_takes_is_not_forgotten(
    write: Write, numbers: Path, at_once: bool, after: str, tiles: list[int], left: int
) -> None:
    """And where an earlier run forgot it already, it is computed again, of these rows alone."""
    if not at_once:
        run(write(TILES))
        assert forgotten(numbers) == 30
    bulk = f"  - {{type: parquet, path: bulk, after: {after}, shuffle: false, columns: [uid, tiles]}}\n"
    result = run(write(TILES + bulk))
    assert result.funnel.kept == 20
    assert tiles_in(numbers / "bulk") == tiles
    assert sorted(tiles_in(numbers / "strict")) == [0] * 10 + [1] * 10
    assert forgotten(numbers) == left
    assert verify(str(numbers / "bulk")) == []


@pytest.mark.slow
def test_selections_are_told_in_manifest_card_report_plan_and_inspect(
    write: Write, tmp_path: Path
) -> None:
    rows(3, tmp_path)
    file = write(
        f"{HEAD}  - {{stage: filter, name: short, keep: words < 8}}\n"
        "outputs:\n  - {type: table, path: best, after: source, where: score > 0.25, order: score desc}\n"
    )
    shown = typed("plan", str(file))
    assert "after: source; where: score > 0.25" in shown.stdout, shown.stderr
    done = typed("run", str(file), "--local")
    manifest = json.loads((tmp_path / "best/manifest.json").read_text())
    null = sum(number(r["score"]) is None for r in rows(3, tmp_path))
    assert manifest["selection"]["left_out_null"] == null
    line = f"{manifest['selection']['left_out']} of 70 rows stay out, {null} of them null"
    card = (tmp_path / "best/README.md").read_text()
    looked = typed("inspect", str(tmp_path / "best"))
    page = next(tmp_path.glob("workspace/runs/*/report/index.html")).read_text()
    for told in (done.stdout, card, looked.stdout, page):
        assert line in told
        assert "score descending" in told


@pytest.mark.parametrize(
    ("keys", "place", "message"),
    [
        ("after: shot", "9:", "no stage is named 'shot'; did you mean 'short'?"),
        ("where: words +", "9:", "words +"),
        ("where: words", "9:", "not true or false"),
        (
            "after: source, where: text_words > 2",
            "9:",
            "stage 'text' writes it, and this output ends",
        ),
        ("order: scores", "9:", "did you mean 'score'?"),
        ("order: score, shuffle: true", "8:", "keep one"),
        ("order: {by: words, groups: [a, b]}", "9:", "the groups are ['a', 'b']"),
        ("order: {buy: words}", "9:", "unknown key 'order.0.buy'; did you mean 'by'?"),
        ("after: source, columns: [text_words]", "9:", "text_words"),
    ],
)
def test_faults_of_selections_are_told_with_their_place(
    write: Write, tmp_path: Path, keys: str, place: str, message: str
) -> None:
    rows(1, tmp_path)
    file = write(
        f"{HEAD}  - {{stage: filter, name: short, keep: words < 8}}\n"
        f"  - {{stage: text_rules, name: text}}\noutputs:\n  - {{type: table, path: out,\n     {keys}}}\n"
    )
    with pytest.raises(PipelineFileError) as caught:
        Pipeline.from_yaml(file)
    assert message in str(caught.value)
    assert f"pipeline.yaml:{place}" in str(caught.value)


def test_where_chooses_rows_of_documents_and_the_first_left_decides_their_place(
    write: Write, numbers: Path
) -> None:
    source = numbers / "numbers.parquet"
    number = pl.col("number")
    pl.read_parquet(source).with_columns(
        doc_id=(number // 3).cast(pl.String), rank=(number * 7) % 60
    ).write_parquet(source)
    run(write("""
name: documents
source: {type: parquet, path: numbers.parquet, rows_per_shard: 20}
outputs:
  - {type: interleaved, path: out, where: number % 4 <> 0, order: rank desc, samples_per_shard: 9}
"""))  # fmt: skip
    tables = [pl.read_parquet(f) for f in sorted((numbers / "out").glob("data/*.parquet"))]
    found = pl.concat(tables)
    expected = []
    for doc in range(20):
        rows = [n for n in range(3 * doc, 3 * doc + 3) if n % 4]
        expected.append(((rows[0] * 7) % 60, str(doc), len(rows)))
    expected.sort(key=lambda e: (-e[0], e[1]))
    assert found["doc_id"].to_list() == [doc for _, doc, _ in expected]
    lengths = [sum(image is not None for image in images) for images in found["images"]]
    assert lengths == [count for _, _, count in expected]
