"""The contract of stages: the whole catalogue passes it, and what breaks it is named."""

import ast
from pathlib import Path

import pyarrow as pa
import pytest

from pairmill.demo.world import World
from pairmill.filters.image_hash import ImageHashStage
from pairmill.stage import ContractError, Stage, StageConfig, check_stage, column
from pairmill.stages.catalogue import BUILT_IN, stage_class
from tests.conftest import CAPTIONER, CLIP
from tests.tiny import built

ROOT = Path(__file__).parent.parent
VECTORS = [[1.0, *[0.0] * 127], [0.0, 1.0, *[0.0] * 126], [0.0] * 128]
NARROW = {
    "text_rules": ({}, {"text": ["a red ball on the meadow", "two", "", "IMG_20"]}),
    "language": ({}, {"text": ["a red ball lies on the meadow", "ein roter Ball im Gras"]}),
    "resolution": ({}, {"width": [640, 1], "height": [480, 3]}),
    "sentences": ({}, {"text": ["One. Two.", ""]}),
    "filter": ({}, {"uid": ["a", "b"]}),
    "derive": ({"name": "half", "expression": "width / 2"}, {"width": [640.0, None, 1.0]}),
    "select": (
        {"by": "score", "fraction": 0.5},
        {"score": [0.1, 0.9, 0.2], "uid": ["a", "b", "c"], "#order": [0, 1, 2]},
    ),
    "retrieve": (
        {"embedding": "image_embedding", "texts": ["a ball", "a boat"], "top": 1, "model": CLIP},
        {"image_embedding": VECTORS, "uid": ["a", "b", "c"], "#order": [0, 1, 2]},
    ),
    "caption_checks": (
        {"caption": "made"},
        {"made": ["a red ball.", "I'm sorry, I cannot see it."], "text": ["Kalodor: a ball", None]},
    ),
    "caption_templates": (
        {"caption": "made"},
        {"made": ["a red ball", "a cat"], "uid": ["a", "b"], "#order": [0, 1]},
    ),
    "shorten": ({"caption": "made"}, {"made": ["a red ball", "a"], "text": ["two words", None]}),
    "best_of": ({"candidates": ["one", "two"]}, {"one": ["a", None], "two": ["b", "c"]}),
    "self_consistency": ({"candidates": "texts"}, {"texts": [["a", "b", "a"], []]}),
    "rewrite": (
        {"model": CAPTIONER, "prompt": "Shorten: {text}", "dtype": "float32"},
        {"text": ["a red ball lies on the meadow", "", "a small blue boat at night"]},
    ),
    "translate": (
        {"model": CAPTIONER, "to": "de", "max_new_tokens": 16, "dtype": "float32"},
        {"text": ["a red ball", "ein Ball", "a boat"], "lang": ["en", "de", None]},
    ),
    "judge": (
        {"model": CAPTIONER, "prompt": {"id": "judge-match"}, "image": None, "max_new_tokens": 8},
        {"caption": ["a red ball lies on the meadow", ""]},
    ),
    "blind": (
        {"model": CAPTIONER, "max_new_tokens": 8, "dtype": "float32"},
        {"question": ["Which colour has the ball?", ""], "answer": ["red", None]},
    ),
    "rare_words": (
        {"times": 2},
        {"text": ["a ball", None, "a red ball"], "uid": ["a", "b", "c"], "#order": [0, 1, 2]},
    ),
    "concepts": ({"concepts": {"ball": ["sphere"]}}, {"text": ["a ball", "", "a sphere ball"]}),
    "cld3": ({}, {"text": ["a red ball lies on the meadow", "ein roter Ball im Gras", ""]}),
    "text_stats": ({}, {"text": ["a red ball. 3 of 1,000!", "", "two"]}),
    "balance": (
        {"by": "concepts", "cap": 1, "seed": 1},
        {"concepts": [["a"], ["a", "b"], None], "uid": ["a", "b", "c"], "#order": [0, 1, 2]},
    ),
    "noise": (
        {"by": "score"},
        {"score": [0.1, 0.9, None], "uid": ["a", "b", "c"], "#order": [0, 1, 2]},
    ),
    "agreement": (
        {"of": ["one", "two"]},
        {"one": [1, 2, 3], "two": [0.3, None, 0.1], "uid": ["a", "b", "c"], "#order": [0, 1, 2]},
    ),
    "second_opinion": (
        {"first": "one", "second": "two"},
        {"one": VECTORS, "two": VECTORS, "uid": ["a", "b", "c"], "#order": [0, 1, 2]},
    ),
    "neighbours": (
        {"by": [["one", "two"]], "top": 2, "scale": 10.0},
        {"one": VECTORS, "two": VECTORS, "uid": ["a", "b", "c"], "#order": [0, 1, 2]},
    ),
    "related": (
        {"by": "of", "columns": ["text"]},
        {
            "of": ["b", None, "x"],
            "text": ["one", "two", None],
            "uid": ["a", "b", "c"],
            "#order": [0, 1, 2],
        },
    ),
    "minimal_pair": (
        {},
        {
            "text": ["a red ball here", "a blue ball here", None],
            "uid": ["a", "b", "c"],
            "#order": [0, 1, 2],
        },
    ),
    "mix": (
        {"by": ["lang"], "budget": 4, "max_repeats": 2, "seed": 1},
        {"lang": ["en", "en", None], "uid": ["a", "b", "c"], "#order": [0, 1, 2]},
    ),
    "sample": ({"seed": 1}, {"uid": ["a", "b", "c"]}),
    "dedup": (
        {"on": ["sha256"]},
        {"sha256": ["x", "y", "x"], "uid": ["a", "b", "c"], "#order": [0, 1, 2]},
    ),
}
PICTURED = {
    "image_hash": {},
    "tiles": {"grid": [2, 2]},
    "clip": {"model": CLIP, "embeddings": ["image"]},
    "embed": {"model": CLIP, "dtype": "float32"},
    "image_rules": {},
    "faces": {},
    "text_area": {},
    "late_interaction": {"model": CLIP, "dtype": "float32"},
    "caption": {"model": CAPTIONER, "prompt": "Describe this image in one sentence."},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NARROW)
def test_stages_of_the_catalogue_keep_the_contract(name: str) -> None:
    options, rows = NARROW[name]
    check_stage(stage_class(name), pa.table(rows), **options)


@pytest.mark.slow
@pytest.mark.parametrize("name", PICTURED)
def test_stages_that_look_at_pictures_keep_the_contract(
    name: str, pictures: list[tuple[bytes, str]]
) -> None:
    images = [pictures[0][0], b"no picture", *(p for p, _ in pictures[1:4])]
    rows = pa.table({"image": images, "text": ["a red ball"] * 5})
    answer = check_stage(stage_class(name), rows, 0.01, **PICTURED[name])
    assert [e and e["class"] for e in answer["error"].to_pylist()][:2] == [None, "decode"]


@pytest.mark.filterwarnings("ignore")
def test_match_keeps_the_contract(pictures: list[tuple[bytes, str]], tmp_path: Path) -> None:
    images = [pictures[0][0], b"no picture", *(p for p, _ in pictures[1:4])]
    texts = ["a red ball", "", "a boat <image>", "x" * 500, "[SEP]"]
    options = {"model": built("blip_itm", tmp_path), "dtype": "float32"}
    answer = check_stage(
        stage_class("match"), pa.table({"image": images, "text": texts}), 1e-5, **options
    )
    assert [e and e["class"] for e in answer["error"].to_pylist()][:2] == [None, "decode"]


def test_near_dedup_keeps_the_contract(pictures: list[tuple[bytes, str]]) -> None:
    images = pa.table({"image": [pictures[i][0] for i in (0, 1, 0, 2)]})
    rows = check_stage(ImageHashStage, images).drop_columns(["error"])
    rows = rows.append_column("uid", pa.array(list("abcd")))
    answer = check_stage(
        stage_class("near_dedup"), rows.append_column("#order", pa.array(range(4)))
    )
    assert answer["near_dup_of"].to_pylist() == [None, None, "a", None]


@pytest.mark.slow
def test_download_keeps_the_contract(web: dict[str, str]) -> None:
    rows = [World(1500, 0).row(i) for i in range(60)]
    urls = [row.url for row in rows if row.expected_error is None][:4]
    options = {"resolve": web, "retries": 0, "timeout": 5}
    answer = check_stage(stage_class("download"), pa.table({"url": urls}), **options)
    assert answer["error"].null_count == 4


def test_every_stage_of_the_catalogue_is_checked() -> None:
    assert {*NARROW, *PICTURED, "near_dedup", "download", "match"} | {
        *("classify", "nearest", "perplexity")
    } == {*BUILT_IN}


class Config(StageConfig):
    stage: str = "x"
    """Type."""


class Length(Stage):
    """Words of a text."""

    Config, prefix = Config, "length"

    def reads(self) -> list[str]:
        return ["text"]

    def writes(self) -> pa.Schema:
        return pa.schema([column(self.column(), pa.int32(), "words")])

    def __call__(self, rows: pa.Table) -> pa.Table:
        return pa.table([[len(t.split()) for t in rows["text"].to_pylist()]], self.writes().names)


class OfTheBatch(Length):
    def __call__(self, rows: pa.Table) -> pa.Table:
        return pa.table([[rows.num_rows] * rows.num_rows], self.writes().names)


class Short(Length):
    def __call__(self, rows: pa.Table) -> pa.Table:
        return super().__call__(rows).slice(1)


class Undocumented(Length):
    def writes(self) -> pa.Schema:
        return pa.schema([pa.field("length", pa.int32())])


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (OfTheBatch, "'length' depends on the rows of the batch: 3 in one, 1 in another"),
        (Short, "answers 3 rows with 2"),
        (Undocumented, "'length' has no meaning"),
    ],
)
def test_broken_contract_is_named(kind: type[Stage], message: str) -> None:
    rows = pa.table({"text": ["one", "one two", "one two three"]})
    check_stage(Length, rows)
    with pytest.raises(ContractError, match=message):
        check_stage(kind, rows)


@pytest.mark.parametrize("name", ["resembles", "top_fraction", "labelled"])
def test_stages_of_the_documents_are_the_examples_and_short(name: str) -> None:
    """At most 25 lines of code, without imports, docstrings and empty lines."""
    code = (ROOT / f"examples/own_stages/{name}.py").read_text()
    assert f"```python\n{code}```" in (ROOT / "docs/own-stages.md").read_text()
    left: set[int] = set()
    for node in ast.walk(ast.parse(code)):
        quoted = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if quoted or isinstance(node, ast.Import | ast.ImportFrom):
            left |= set(range(node.lineno, node.end_lineno + 1))
    lines = [line for i, line in enumerate(code.splitlines(), 1) if i not in left and line.strip()]
    assert len(lines) <= 25
