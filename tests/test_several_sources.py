"""Several sources in one pipeline, and constant columns: what each row carries, and every fault."""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import jsonschema
import polars as pl
import pytest
from ruamel.yaml import YAML

from pairmill.api import Pipeline
from pairmill.errors import PipelineFileError
from pairmill.packages.package import verify
from pairmill.plan.documentation import json_schema
from pairmill.run_result import RunResult
from pairmill.workspace.ingest import unit_keys
from pairmill.workspace.storage import Storage
from tests.conftest import typed
from tests.inputs import picture, sample, write_tar

Write = Callable[[str], Path]
FILE = """
name: several
source:
  web: {type: pairs, path: web.parquet, set: {license: unknown, weight: 0.5}}
  shop: {type: pairs, path: shop.csv, columns: {url: link, text: title}, set: {license: cc-by}}
stages:
  - {stage: filter, keep: text IS NOT NULL}
outputs:
  - {type: table, path: out, shuffle: false}
"""


def run(file: Path) -> RunResult:
    return Pipeline.from_yaml(file).run(local=True, progress=False)


def inputs(folder: Path) -> None:
    web = {
        "uid": ["a" * 32, "b" * 32, "c" * 32],
        "url": [f"http://w/{i}" for i in range(3)],
        "caption": ["one", "two", "three"],
        "likes": pl.Series([1, 2, 2**40], dtype=pl.Int64),
    }
    pl.DataFrame(web).write_parquet(folder / "web.parquet")
    (folder / "shop.csv").write_text(
        f"uid,link,title,likes,price\n{'b' * 32},http://s/0,four,1.5,9\n{'d' * 32},http://s/1,five,,8\n"
    )


def test_rows_carry_their_source_and_united_columns(write: Write, tmp_path: Path) -> None:
    inputs(tmp_path)
    result = run(write(FILE))
    found = pl.read_parquet(tmp_path / "out/data/*.parquet")
    assert found["source"].to_list() == ["web"] * 3 + ["shop"] * 2
    assert found["source_within"].to_list() == ["web.parquet"] * 3 + ["shop.csv"] * 2
    assert found["text"].to_list() == ["one", "two", "three", "four", "five"]
    assert found["url"].to_list()[3] == "http://s/0"
    assert found["license"].to_list() == ["unknown"] * 3 + ["cc-by"] * 2
    assert found["weight"].to_list() == [0.5] * 3 + [None] * 2
    assert found["price"].to_list() == [None] * 3 + [9, 8]
    assert found["likes"].to_list() == [1.0, 2.0, float(2**40), 1.5, None]
    assert found["uid"].n_unique() == 5
    assert found["uid"].to_list()[:3] == ["a" * 32, "b" * 32, "c" * 32]
    assert any("repeated uids" in w and "shop: " in w and "b" * 32 in w for w in result.warnings)
    assert verify(str(tmp_path / "out")) == []


@pytest.mark.slow
def test_what_reading_has_to_say_names_the_source(write: Write, tmp_path: Path) -> None:
    """Each source's mapping in the plan; rows that cannot be read, and an integer that no double
    holds, at the end.
    """
    inputs(tmp_path)
    pl.DataFrame(
        {"url": ["http://w/8", "http://w/9"], "caption": ["x", "y"], "likes": [2**53 + 1, 3]}
    ).write_parquet(tmp_path / "web.parquet")
    file = write(FILE.replace("path: shop.csv", "path: shop.csv, types: {likes: float64}"))
    shown = typed("plan", str(file)).stdout
    assert "columns: web: url ← url" in shown
    assert "columns: shop: url ← link" in shown
    assert "in every row license = 'cc-by'" in shown
    result = run(file)
    assert result.funnel.rows == 4
    assert result.funnel.kept == 3
    (told,) = [w for w in result.warnings if "unreadable" in w]
    assert "web: web.parquet row 0, column 'likes': '9007199254740993' is no double" in told


def test_each_image_source_measures_its_own_images(write: Write, tmp_path: Path) -> None:
    write_tar(tmp_path / "s.tar", [*sample("k1", 1, "tar one"), *sample("k2", 2, "tar two")])
    pictures = {"image": [picture(3), b"broken"], "text": ["bytes", "none"]}
    pl.DataFrame(pictures).write_parquet(tmp_path / "p.parquet")
    file = write("""
name: images
source:
  tars: {type: webdataset, path: s.tar}
  files: {type: parquet, path: p.parquet}
outputs: [{type: parquet, path: out, shuffle: false}]
""")
    result = run(file)
    found = pl.read_parquet(tmp_path / "out/data/*.parquet")
    assert found["source"].to_list() == ["tars", "tars", "files"]
    assert found["width"].to_list() == [40, 40, 40]
    assert any("files: p.parquet row 1, column 'image'" in w for w in result.warnings)


def test_documents_of_two_sources_stay_apart(write: Write, tmp_path: Path) -> None:
    """The last document of one has the id of the first of the other."""
    for name in "ab":
        rows = {"doc_id": ["1", "1", "1"], "url": [f"http://{name}/{i}" for i in range(3)]}
        pl.DataFrame(rows).write_parquet(tmp_path / f"{name}.parquet")
    file = write("""
name: documents
source: {a: {type: pairs, path: a.parquet}, b: {type: pairs, path: b.parquet, rows_per_shard: 1}}
outputs: [{type: table, path: out, shuffle: false, columns: [doc_id, position]}]
""")
    result = run(file)
    found = pl.read_parquet(tmp_path / "out/data/*.parquet")
    assert found["doc_id"].to_list() == ["a/1"] * 3 + ["b/1"] * 3
    assert found["position"].to_list() == [0, 1, 2] * 2
    assert result.run.chain.shard_rows.tolist() == [3, 3]


def test_source_of_rows_is_part_of_what_they_are(write: Write, tmp_path: Path) -> None:
    """A file that moves from one source to the other, or another constant, is another input."""
    for name in "abc":
        pl.DataFrame({"url": [f"http://{name}"]}).write_parquet(tmp_path / f"{name}.parquet")
    head, tail = "name: n\nsource:\n", "outputs: [{type: table, path: out, overwrite: true}]\n"
    seen = set()
    for x, y, more in (("[a.parquet, b.parquet]", "c.parquet", ""),
                       ("a.parquet", "[b.parquet, c.parquet]", ""),
                       ("a.parquet", "[b.parquet, c.parquet]", ", set: {k: 1}")):  # fmt: skip
        text = (
            f"{head}  x: {{type: pairs, path: {x}{more}}}\n  y: {{type: pairs, path: {y}}}\n{tail}"
        )
        run(write(text))
        found = pl.read_parquet(tmp_path / "out/data/*.parquet").sort("url")
        names = [*("x" * (2 if x[0] == "[" else 1)), *("y" * (1 if x[0] == "[" else 2))]
        assert found["source"].to_list() == names
        seen.add(tuple(found.rows()))
    assert len(seen) == 3


def test_constants_of_a_single_source(write: Write, tmp_path: Path) -> None:
    inputs(tmp_path)
    file = write("""
name: single
source: {type: pairs, path: web.parquet, set: {license: cc0, year: 2024, clean: true, source: w}}
outputs: [{type: table, path: out, shuffle: false, where: "license = 'cc0' AND year > 2000 AND clean"}]
""")
    run(file)
    found = pl.read_parquet(tmp_path / "out/data/*.parquet")
    assert (
        found.select("license", "year", "clean", "source").rows() == [("cc0", 2024, True, "w")] * 3
    )


def test_package_of_several_sources_is_a_source_again(write: Write, tmp_path: Path) -> None:
    inputs(tmp_path)
    run(write(FILE))
    again = write("""
name: again
source: {old: {type: package, path: out}, new: {type: pairs, path: web.parquet}}
outputs: [{type: table, path: both, shuffle: false}]
""", "again.yaml")  # fmt: skip
    run(again)
    found = pl.read_parquet(tmp_path / "both/data/*.parquet")
    assert found["source"].to_list() == ["old"] * 5 + ["new"] * 3
    assert found["source_within"].to_list()[2:6] == [
        "web/web.parquet", "shop/shop.csv", "shop/shop.csv", "web.parquet",
    ]  # fmt: skip


FAULTS = [
    ("path: shop.csv", "path: nowhere.csv", "5:23: ", "nowhere.csv"),
    ("type: pairs, path: shop", "type: pears, path: shop", "5:10: ", "did you mean 'pairs'?"),
    ("shop: {type: pairs, ", "shop: {", "5:3: ", "a source needs `type:`"),
    ("shop: {", "Shop one: {", "5:3: ", "write for example `shop-one`"),
    ("set: {license: cc-by}", "sett: {license: cc-by}", "5:74: ", "did you mean 'set'?"),
    ("set: {license: cc-by}", "set: {uid: cc-by}", "5:74: ", "'uid' cannot be the name of a column"),
    ("set: {license: cc-by}", "set: {price: 3}", "5:80: ", "`set:` gives 'price', which shop.csv has"),
    ("set: {license: cc-by}", "set: {license: 3}", "3:1: ",
     "column 'license' is string in its `set:` (source 'web') and int64 in its `set:` (source 'shop')"),
    ("text: title}", "text: title}, types: {likes: text}", "3:1: ",
     "column 'likes' is int64 in web.parquet (source 'web') and string in shop.csv (source 'shop')"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "place", "message"), FAULTS)
def test_faults_of_one_of_several_sources_are_told_with_their_place(
    write: Write, tmp_path: Path, old: str, new: str, place: str, message: str
) -> None:
    inputs(tmp_path)
    with pytest.raises(PipelineFileError) as caught:
        Pipeline.from_yaml(write(FILE.replace(old, new)))
    (found,) = caught.value.problems
    assert message in str(found)
    assert f"pipeline.yaml:{place}" in str(found), found


def test_editors_know_the_keys_of_one_source_and_of_several() -> None:
    checker = jsonschema.Draft202012Validator(json_schema())
    several = YAML(typ="safe").load(FILE)
    assert list(checker.iter_errors(several)) == []
    assert list(checker.iter_errors({**several, "source": several["source"]["web"]})) == []
    for wrong in ({"type": "pears"}, {"shop": {"type": "pears"}}, {"Shop": {"type": "pairs"}}, {}):
        assert list(checker.iter_errors({**several, "source": wrong})), wrong


def test_files_of_a_source_stay_known_where_another_source_comes(
    write: Write, tmp_path: Path
) -> None:
    """Their units keep their keys; other constants, or another name of the source, change them."""
    inputs(tmp_path)

    def keys(text: str) -> list[str]:
        plan = Pipeline.from_yaml(write(text)).checked
        units = plan.source.units()
        storage = Storage(plan.config.workspace)
        return unit_keys(storage, plan.source, units, plan.pool_schema)

    first = keys(FILE)
    assert len(first) == 2
    more = "  more: {type: pairs, path: web.parquet, set: {license: mit, weight: 0.1}}\nstages:"
    assert keys(FILE.replace("stages:", more))[:2] == first
    assert keys(FILE.replace("cc-by", "cc0"))[0] == first[0]
    assert keys(FILE.replace("cc-by", "cc0"))[1] != first[1]
    assert keys(FILE.replace("shop: {", "store: {"))[1] != first[1]


NOTHING = {
    "parquet": lambda folder: pl.DataFrame({"url": ["http://n"], "v": [None]}).write_parquet(
        folder / "n.parquet"
    ),
    "csv": lambda folder: (folder / "n.csv").write_text("url,v\nhttp://n,\n"),
    "jsonl": lambda folder: (folder / "n.jsonl").write_text('{"url": "http://n", "v": []}\n'),
    "json": lambda folder: (folder / "n.json").write_text('[{"url": "http://n", "v": null}]'),
}


@pytest.mark.parametrize("kind", NOTHING)
@pytest.mark.parametrize(
    "values", [pl.Series([[1, 2]]), pl.Series([[{"a": 1.5}]]), pl.Series([True]), pl.Series([7])]
)
def test_a_column_of_nulls_has_the_type_of_another_source(
    write: Write, tmp_path: Path, kind: str, values: pl.Series
) -> None:
    """It was text, which no type of another source agrees with; so was each column of a CSV without
    rows.
    """
    lists = values.dtype == pl.List
    if kind == "jsonl" and not lists:
        (tmp_path / "n.jsonl").write_text('{"url": "http://n", "v": null}\n')
    else:
        NOTHING[kind](tmp_path)
    empty = [] if kind == "jsonl" and lists else None
    pl.DataFrame({"url": ["http://v"], "v": values}).write_parquet(tmp_path / "v.parquet")
    (tmp_path / "none.csv").write_text("url,v\n")
    sources = [f"n: {{type: pairs, path: n.{kind}}}", "none: {type: pairs, path: none.csv}"]
    text = f"""
name: nothing
source: {{{", ".join(sources)}, v: {{type: pairs, path: v.parquet}}}}
outputs: [{{type: table, path: out, shuffle: false}}]
"""
    result = run(write(text))
    assert not result.warnings
    found = pl.read_parquet(tmp_path / "out/data/*.parquet")
    assert found["v"].to_list() == [empty, *values.to_list()]
    assert found["v"].dtype == values.dtype


def test_types_widen_where_nothing_is_lost(write: Write, tmp_path: Path) -> None:
    """Integers beside decimals, and points in time of two zones."""
    at = dt.datetime(2024, 7, 1, 12, tzinfo=ZoneInfo("Europe/Berlin"))
    first = {"url": ["http://a"], "price": [Decimal("2.50")], "at": [at]}
    second = {"url": ["http://b"], "price": [2**63 - 1], "at": [at.astimezone(dt.UTC)]}
    pl.DataFrame(first).write_parquet(tmp_path / "a.parquet")
    pl.DataFrame(second).write_parquet(tmp_path / "b.parquet")
    sources = "{a: {type: pairs, path: a.parquet}, b: {type: pairs, path: b.parquet}}"
    run(write(f"name: w\nsource: {sources}\noutputs: [{{type: table, path: out}}]\n"))
    found = pl.read_parquet(tmp_path / "out/data/*.parquet").sort("url")
    assert found["price"].to_list() == [Decimal("2.50"), Decimal(2**63 - 1)]
    assert found["at"].to_list() == [at, at]


def test_a_package_without_samples_says_that_it_is_empty(write: Write, tmp_path: Path) -> None:
    """It was told that the manifest names no file, and to read the other files."""
    inputs(tmp_path)
    run(write(FILE.replace("text IS NOT NULL", "text = 'none'")))
    with pytest.raises(PipelineFileError, match="the package holds no sample"):
        run(write("name: p\nsource: {type: package, path: out}\noutputs: []\n"))
