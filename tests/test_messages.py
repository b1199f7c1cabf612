"""Messages of a pipeline file: each stands at the key it is about, and says what to write instead."""

from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from pairmill.api import Pipeline
from pairmill.errors import PipelineFileError
from pairmill.plan.documentation import json_schema

Write = Callable[[str], Path]
FILE = """name: good
source: {type: parquet, path: pairs.parquet}
stages:
  - stage: text_rules
    keep: text_words > 2
  - stage: resolution
outputs:
  - {type: webdataset, path: out}
"""


def faults(file: Path, **overrides: str) -> list[str]:
    with pytest.raises(PipelineFileError) as caught:
        Pipeline.from_yaml(file, overrides)
    return [str(p).split(file.name + ":", 1)[-1] for p in caught.value.problems]


@pytest.mark.parametrize(
    ("old", "new", "place", "remedies"),
    [
        ("text_words > 2", "lang = 'en'", "5:5", ["add `- stage: language` before it"]),
        ("text_words > 2", "clip_score > 0.2", "5:5", ["add `- stage: clip` before it"]),
        ("keep: text_words > 2", "when: image_hash IS NULL", "5:5", ["add `- stage: image_hash` before it"]),
        ("text_words > 2", "text IN (en, de)", "5:5", ["put it in single quotes: 'en'"]),
        ("text_words > 2", 'text = "en"', "5:5", ["put it in single quotes: 'en'"]),
        ("text_words > 2", "text_words > 2 && text_chars > 5", "5:5", ["write AND in place of &&"]),
        ("text_words > 2", "text_has_url || text_boilerplate", "5:5", ["write OR"]),
        ("text_words > 2", "text = ‘en’", "5:5", ["straight single quotes"]),
        ("text_words > 2", "NOT text_words", "5:5", ["NOT takes true or false", "compare it"]),
        ("text_words > 2", "text_words > MEDIAN(text_words)", "5:5", ["sees one row at a time"]),
        ("text_words > 2", "LENGHT(text) > 2", "5:5", ["did you mean LENGTH?"]),
        ("text_words > 2", "LENGTH(text, 3) > 2", "5:5", ["it is LENGTH(text)"]),
        ("text_words > 2", "text LIKE source", "5:5", ["has to be a text in quotes"]),
        ("text_words > 2", "text ~ '(['", "5:5", ["is no regular expression"]),
        ("text_words > 2", "CAST(text AS DECIMAL(5, 2)) > 1", "5:5", ["cast to DOUBLE"]),
        ("text_words > 2", "text NOT IN (en, 'de')", "5:5", ["single quotes: 'en'"]),
        ("text_words > 2", "text != en AND text_words > 2", "5:5", ["single quotes: 'en'"]),
        ("text_words > 2", "text_words => 2", "5:5", ["write >= in place of =>"]),
        ("text_words > 2", "text_words > 2 || text_chars > 2", "5:5", ["write OR in place of ||"]),
        ("text_words > 2", "text_words > 2 AND", "5:5", ["something is missing beside 'AND'"]),
        ("text_words > 2", "(text_words > 2", "5:5", ["a parenthesis is not closed"]),
        ("text_words > 2", "text = 'a", "5:5", ["a quote is not closed"]),
        ("text_words > 2", "text_words > '2'", "5:5", ["take the quotes of '2' away"]),
        ("text_words > 2", "text > 2", "5:5", ["CAST(text AS DOUBLE)"]),
        ("text_words > 2", "text_has_url = 'false'", "5:5", ["or NOT text_has_url"]),
        ("text_words > 2", "text LIKE %a%", "5:5", ["in single quotes: LIKE '%part%'"]),
        ("text_words > 2", "text IN ('a' 'b')", "5:5", ["put a comma or || between them"]),
        ("text_words > 2", "text_words > @least", "5:5", ["write the value, or ${NAME}"]),
        ("text_words > 2", "text =~ 'x'", "5:5", ["write text ~ 'pattern'"]),
        ("text_words > 2", "LEN(text) > 2", "5:5", ["write LENGTH(text)"]),
        ("text_words > 2", "RAND() > 0.5", "5:5", ["`- stage: sample` before it"]),
        ("text_words > 2", "text['a'] = 1", "5:5", ["write a number in the brackets"]),
        ("text_words > 2", "Text_Words > 2", "5:5", ["did you mean 'text_words'?"]),
        ("text_words > 2", "text_words > ${NOT_SET_ANYWHERE}", "5:5", ["is not set; set it, or"]),
        ("keep: text_words > 2", "keep: [a > 1, b > 2]", "5:5", ["one expression", "joined by AND"]),
        ("keep: text_words > 2", "filter: text_words > 2", "5:5", ["did you mean 'keep'?"]),
        ("keep: text_words > 2", "size: 3", "5:5", ["did you mean 'batch_size'?"]),
        ("keep: text_words > 2", "batch_size: '3'", "5:5", ["take the quotes away"]),
        ("keep: text_words > 2", "max_failures: 5%", "5:5", ["write 0.05"]),
        ("name: good", "name: 2024", "1:1", ["put it in quotes: '2024'"]),
        ("name: good", "name:", "1:1", ["name is empty"]),
        ("name: good", "name: good\nlimit: 100", "2:1", ["of the command line: --limit 100"]),
        ("name: good", "name: good\nreport: false", "2:1", ["write `report: none`"]),
        ("type: parquet", "type: jsonl", "2:10", ["did you mean 'pairs'?"]),
        ("type: webdataset", "type: wds", "8:6", ["did you mean 'webdataset'?"]),
        ("type: webdataset", "type: jsonl", "8:6", ["did you mean 'table'?", "`format`"]),
        ("stage: resolution", "stage: ocr", "6:5", ["write `stage: text_area`"]),
        ("stage: resolution", "stage: download\n    allow_private_hosts: true", "7:5", ["name them, such as [127.0.0.1"]),
        ("text_words > 2", "text_words = NaN", "5:5", ["write text_words IS NULL"]),
        ("text_words > 2", "text_words > none", "5:5", ["write text_words IS NULL"]),
        ("text_words > 2", 'text_words >= "2"', "5:5", ["double quotes mean a column", "away: 2"]),
        ("text_words > 2", "text_words >= '2 words'", "5:5", ["write a number in place of '2 words'"]),
        ("text_words > 2", "text_words > two hundred", "5:5", ["nothing stands before 'hundred'"]),
        ("text_words > 2", "text_words > 2 text_chars > 5", "5:5", ["join"]),
        ("keep: text_words > 2", "keep:text_words > 2", "5:9", ["write `keep: text_words > 2`"]),
        ("- stage: text_rules", "- stage text_rules", "4:10", ["write `stage: text_rules`"]),
        ("  - stage: resolution", " - stage: resolution", "6:2", ["2 spaces in", "not 1"]),
        ("text_words > 2", "text > abc", "5:5", ["single quotes: 'abc'"]),
        ("text_words > 2", "text BETWEEN a AND b", "5:5", ["single quotes: 'a'"]),
        ("stage: resolution", "stage: aesthetics", "6:5", ["write `stage: classify`"]),
        ("stage: resolution", "stage: minhash", "6:5", ["`stage: dedup` with `kind: text`"]),
        ("stage: resolution", "stage: ./mine:Mine", "6:5", ["without a path before it"]),
        ("stage: resolution", "stage: resolution\n    resources: {gpu: 1}", "7:17", ["mean 'gpus'?"]),
        ("stage: resolution", "stage: resolution\n    resources: {replicas: [8, 1]}", "7:17", ["[least, most]"]),
        ("- stage: resolution", "- {stage: dedup, on: text}", "6:20", ["write [text]"]),
        ("name: good", "name: bad name!", "1:1", ["write for example `bad-name`"]),
        ("  - stage: resolution", "  - stage: resolution\n    name: Größe 1", "7:5", ["`grosse_1`"]),
        ("  - stage: resolution", "  - stage: resolution\n    resources: {memory: lots}", "7:17", ["`4 GB`"]),
        ("  - stage: resolution", "  - stage: language\n    text: caption", "7:5", ["reads 'caption'"]),
        ("  - stage: resolution", "  - stage: dedup\n    on: [text, sha1]", "7:16", ["reads 'sha1'"]),
        ("  - stage: resolution", "  - stage: clip\n    model: ./nowhere", "7:5", ["does not exist"]),
        ("keep: text_words > 2", "keep:", "5:5", ["keep is empty; write a value behind it"]),
        ("keep: text_words > 2", "keep:  # later", "5:5", ["keep is empty"]),
        ("keep: text_words > 2", "resources: {gpus: }", "5:17", ["gpus is empty"]),
        ("path: pairs.parquet", 'path: ""', "2:25", ["path is empty", "`.` for the folder"]),
        ("path: out", 'path: ""', "8:24", ["path is empty"]),
        ("name: good", 'name: good\nworkspace: ""', "2:1", ["workspace is empty"]),
        ("path: pairs.parquet", "path: $HOME/pairs.parquet", "2:25", ["is written ${HOME}"]),
        ("path: out", "path: $HOME/out", "8:24", ["is written ${HOME}"]),
        ("path: pairs.parquet", "path: ${HOME}/in", "2:31", ["${HOME} between brackets", "double quotes"]),
        ("path: pairs.parquet", "path: 5", "2:25", ["path: this has to be a text; found 5"]),
        ("name: good", "name: good\nreport: no", "2:1", ["a map of keys; found 'no'", "write `report: none`"]),
        ("- stage: resolution", "- resolution", "6:5", ["write `- stage: resolution`"]),
        ("- stage: resolution", "- resolution: {}", "6:5", ["write `- stage: resolution`"]),
        ("source: {type: parquet, path: pairs.parquet}", "source: [{type: parquet}]", "2:1", ["not a list; several are a map"]),
    ],
)  # fmt: skip
def test_fault_stands_at_its_key_and_has_a_remedy(
    old: str, new: str, place: str, remedies: list[str], write: Write, pairs: Path
) -> None:
    found = faults(write(FILE.replace(old, new)))
    assert len(found) == 1, found
    assert found[0].startswith(f"{place}: ")
    for remedy in remedies:
        assert remedy in found[0]


@pytest.mark.parametrize(
    ("content", "told"),
    [("import sys\nsys.exit(3)\n", "SystemExit: 3"), ("x = 1 / 0\n", "ZeroDivisionError")],
)
def test_own_stage_that_ends_at_its_import_is_named(
    content: str, told: str, write: Write, pairs: Path
) -> None:
    module = f"ends_{told[:3].lower()}"
    (pairs.parent / f"{module}.py").write_text(content)
    (fault,) = faults(write(FILE.replace("stage: resolution", f"stage: {module}:Mine")))
    assert fault.startswith("6:5: ")
    assert told in fault
    assert f"{module}.py:" in fault


def test_store_that_does_not_answer_is_a_fault_of_the_path(write: Write) -> None:
    (fault,) = faults(write(FILE.replace("pairs.parquet", "https://127.0.0.1:9/pairs.parquet")))
    assert fault.startswith("2:25: https://127.0.0.1:9/pairs.parquet cannot be reached: ")


def test_missing_input_is_one_fault(write: Write, pairs: Path) -> None:
    file = write(
        FILE.replace("pairs.parquet", "nowhere.parquet").replace("2", "3 AND similarity > 0.3")
    )
    assert len(faults(file)) == 1


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("stages.clip.keep", "x > 1", "there is no 'clip' here (items: text_rules, resolution)"),
        ("stages.text_rules.batch_size", "many", "batch_size: this has to be a whole number"),
        ("stages.text_rules.keep", "text_wordz > 2", "did you mean 'text_words'?"),
        ("name.x", "1", "name holds no keys"),
        ("sead", "1", "unknown key 'sead'"),
        ("stages.text_rules.keep", "", "keep is empty; write a value behind the =, or null"),
        ("stages.text_rules.resources.gpus", "many", "resources.gpus: this has to be a number"),
        ("stages.text_rules.resorces.gpus", "1", "did you mean 'resources'?"),
        ("outputs.path", "x", "there is no 'path' here (items: 0)"),
    ],
)
def test_bad_set_is_the_command_lines_fault(
    key: str, value: str, message: str, write: Write, pairs: Path
) -> None:
    (fault,) = faults(write(FILE), **{key: value})
    assert fault.startswith(f"command line: --set {key}={value}: ")
    assert message in fault


def test_null_is_written_to_leave_a_key_empty(write: Write, pairs: Path) -> None:
    for null in ("null", "~"):
        file = write(FILE.replace("keep: text_words > 2", f"keep: {null}"))
        assert Pipeline.from_yaml(file).config.stages[0].keep is None
    file = write(FILE.split("stages:")[0] + "stages:\n  # - stage: language\noutputs:\n")
    found = Pipeline.from_yaml(file, {"name": "other"}).config
    assert (found.name, found.stages, found.outputs) == ("other", [], [])


def test_map_that_the_file_leaves_out_is_set_by_its_keys(write: Write, pairs: Path) -> None:
    found = Pipeline.from_yaml(write(FILE), {"stages.text_rules.resources.cpus": "2"})
    assert found.config.stages[0].resources.cpus == 2


def test_on_is_read_however_yaml_1_1_wrote_it(write: Write, pairs: Path) -> None:
    for key in ("on", '"on"', "'on'", "true"):
        file = write(FILE.replace("  - stage: resolution", f"  - stage: dedup\n    {key}: [text]"))
        assert Pipeline.from_yaml(file).config.stages[1].on == ["text"]  # type: ignore[attr-defined]


def told(text: str) -> list[str]:
    """What an editor says of a file."""
    checker = jsonschema.Draft202012Validator(json_schema())
    errors = checker.iter_errors(YAML(typ="safe").load(text))
    return [f"{'.'.join(map(str, e.absolute_path))}: {e.message}" for e in errors]


@pytest.mark.slow
def test_schema_accepts_a_good_file_and_names_the_stage_of_a_bad_one() -> None:
    good = FILE.replace(
        "  - stage: resolution",
        "  - {stage: dedup, on: [text]}\n  - stage: my_module:Mine\n    any: 3",
    )
    assert told(good) == []
    for old, new, expected in (
        ("keep: text_words", "keeep: text_words", ["stages.0: ", "'keeep' was unexpected"]),
        ("- stage: resolution", "- {stage: dedup}", ["stages.1: 'on' is a required property"]),
        ("stage: resolution", "stage: resolutoin", ["stages.1.stage: 'resolutoin'"]),
        (
            "type: webdataset",
            "type: parquet, nothing: 1",
            ["outputs.0: ", "'nothing' was unexpected"],
        ),
        ("type: parquet, path", "type: parquet, pth", ["source: ", "'pth' was unexpected"]),
    ):
        found = told(FILE.replace(old, new))
        assert 1 <= len(found) <= 2, found
        for part in expected:
            assert any(part in line for line in found), (new, found)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("columns: {text: captoin}", "no column 'captoin' for 'text'; did you mean 'caption'?"),
        ("columns: {text: CAPTION}", "no column 'CAPTION' for 'text'; did you mean 'caption'?"),
        ("columns: {doc_id: page}", "no column 'page' for 'doc_id' (columns: url, caption, tags)"),
        ("types: {captions: text}", "there is no column 'captions'"),
        ("image: picture", "no column 'picture'"),
        ("set: {tags: a}", "`set:` gives 'tags', which pairs.csv has"),
    ],
)
def test_a_name_that_the_source_does_not_have_stands_at_its_key(
    tmp_path: Path, key: str, words: str
) -> None:
    (tmp_path / "pairs.csv").write_text("url,caption,tags\nhttp://a.test/1.jpg,one,x\n")
    file = tmp_path / "p.yaml"
    lines = "name: n\nsource:\n  one: {type: pairs, path: pairs.csv}\n  two:\n    type: pairs\n"
    file.write_text(f"{lines}    path: pairs.csv\n    {key}\nstages: [{{stage: text_rules}}]\n")
    (told,) = faults(file)
    column = 5 + key.rfind("{") + 1 if "{" in key else 5
    assert told.startswith(f"7:{column}: ")
    assert words in told


def test_each_wrong_name_of_a_source_is_a_fault_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("url,caption\nhttp://a.test/1.jpg,one\n")
    file = tmp_path / "p.yaml"
    file.write_text(
        "name: n\nsource:\n  type: pairs\n  path: pairs.csv\n  columns:\n    text: alt\n"
        "    doc_id: page\nstages: [{stage: text_rules}]\n"
    )
    assert [told[:4] for told in faults(file)] == ["6:5:", "7:5:"]


OWN_STAGES = """from pairmill import Stage
class Empty(Stage):
    pass
class Reads(Empty):
    def reads(self): return ["text"]
class Mute(Reads):
    def writes(self):
        import pyarrow as pa
        return pa.schema([("loud", pa.bool_())])
"""


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        ("own_parts:Empty", "its class has no method `reads`; docs/own-stages.md"),
        ("own_parts:Reads", "its class has no method `writes`"),
        ("own_parts:Mute", "has no method `__call__`"),
        ("own_parts.py:Mute", "write a module without .py, own_parts:Mute"),
        ("own_parts", "name its class, too: `stage: own_parts:MyStage`"),
    ],
)
def test_an_own_stage_that_is_not_whole_is_told_what_it_lacks(
    write: Write, pairs: Path, stage: str, words: str
) -> None:
    file = write(FILE.replace("- stage: resolution", f"- stage: {stage}"))
    (file.parent / "own_parts.py").write_text(OWN_STAGES)
    (told,) = faults(file)
    assert told.startswith("6:")
    assert words in told
