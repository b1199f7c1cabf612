"""Pipeline files: every fault at once with its place; variables, secrets, overrides."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pairmill.api import Pipeline
from pairmill.errors import PipelineFileError
from tests.conftest import pairmill

Write = Callable[[str], Path]
GOOD = """
name: good
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


def test_good_file_is_planned(write: Write, pairs: Path) -> None:
    plan = Pipeline.from_yaml(write(GOOD)).plan()
    assert [s["name"] for s in plan["stages"]] == ["text_rules", "resolution"]
    assert plan["stages"][0]["writes"][0] == "text_words"


def test_all_faults_are_shown_with_line_and_column(write: Write, pairs: Path) -> None:
    file = write("""name: bad name
sead: 3
source: {type: parquet, path: pairs.parquet}
stages:
  - stage: text_rulez
  - stage: text_rules
    batch_size: many
    keep: text_wordz > 2
  - stage: text_rules
  - stage: clip
    model: ./nowhere
    image: picture
outputs:
  - {type: webdatset, path: out}
""")
    found = faults(file)
    assert any(f.startswith("1:1: name:") for f in found)
    assert any(f.startswith("2:1: unknown key 'sead'; did you mean 'seed'?") for f in found)
    assert any(
        f.startswith("5:5: unknown stage 'text_rulez'; did you mean 'text_rules'?") for f in found
    )
    assert any(
        f.startswith("7:5: batch_size: this has to be a whole number") and "'many'" in f
        for f in found
    )
    assert any(
        f.startswith("14:6: unknown output 'webdatset'; did you mean 'webdataset'?") for f in found
    )


def test_gates_that_cannot_be_read_are_told_behind_a_stage_at_fault(
    write: Write, pairs: Path
) -> None:
    file = write("""name: gates
source: {type: parquet, path: pairs.parquet}
stages:
  - stage: text_rules
    keep: text_words >
  - stage: resolution
    kep: aspect < 3
    when: lang = = 'en'
  - stage: dedup
    "on": [text]
    keep: dup_of IS NULL
  - stage: language
    keep: lang_score => 0.5
""")
    found = faults(file)
    places = ["5:5", "7:5", "8:5", "13:5"]
    assert [f.partition(": ")[0] for f in found] == places, found
    assert "write >= in place of =>" in found[-1]


def test_faults_of_the_plan_are_shown_together(write: Write, pairs: Path) -> None:
    file = write(
        GOOD.replace("text_words > 2", "text_wordz > 2")
        .replace("stage: resolution", "stage: text_rules\n    when: lang = 'en'")
        .replace("path: out", "path: out, caption: [fused, text]")
    )
    found = faults(file)
    assert any(
        f.startswith("6:5: 'text_wordz > 2' reads 'text_wordz'")
        and "did you mean 'text_words'" in f
        for f in found
    )
    assert any("two stages are named 'text_rules'" in f and f.startswith("7:5") for f in found)
    assert any("caption reads" in f or "reads 'fused'" in f for f in found)


def test_columns_that_rows_cannot_be_grouped_by_are_told_as_what_they_are(
    write: Write, pairs: Path
) -> None:
    found = faults(write(GOOD + "report: {groups: [source, soruce, text_repetition]}\n"))
    assert len(found) == 2
    assert any("did you mean 'source'?" in f for f in found)
    assert any("rows cannot be grouped by 'text_repetition', which is float" in f for f in found)


def test_column_read_before_it_is_written_names_the_columns_there_are(
    write: Write, pairs: Path
) -> None:
    file = write(
        GOOD.replace(
            "  - stage: text_rules\n    keep: text_words > 2\n",
            "  - stage: language\n    text: caption\n",
        )
    )
    assert any(
        "stage language" in f and "'caption'" in f and "add `- stage: caption` before it" in f
        for f in faults(file)
    )


def test_two_stages_that_write_one_column_are_refused_unless_named(
    write: Write, pairs: Path
) -> None:
    twice = GOOD.replace(
        "  - stage: resolution\n", "  - {stage: text_rules, name: again, text: source}\n"
    )
    names = Pipeline.from_yaml(write(twice)).plan()["stages"][1]["writes"]
    assert names[:2] == ["again_words", "again_split_words"]


def test_broken_yaml_and_duplicate_keys_tell_their_place(write: Write) -> None:
    assert faults(write("name: a\nstages: [\n"))[0].startswith(("2:", "3:"))
    assert any(
        "the key name stands here a second time" in f for f in faults(write("name: a\nname: b\n"))
    )


def test_variables_are_filled_typed_and_missing_ones_named(
    write: Write, pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROWS", "16")
    text = GOOD.replace(
        "{type: parquet, path: pairs.parquet}",
        "\n  type: parquet\n  path: pairs.parquet\n  rows_per_shard: ${ROWS}",
    )
    text = text.replace(
        "{type: webdataset, path: out}", "type: webdataset\n    path: ${OUT:-elsewhere}"
    )
    pipeline = Pipeline.from_yaml(write(text))
    assert pipeline.config.source.rows_per_shard == 16
    assert pipeline.config.outputs[0].path.endswith("/elsewhere")
    assert any(
        "the environment variable NOWHERE is not set" in f
        for f in faults(write(text.replace("${ROWS}", "${NOWHERE}")))
    )


def test_yaml_1_2_no_is_a_word(write: Write, pairs: Path) -> None:
    file = write(
        GOOD.replace(
            "  - stage: resolution\n", "  - {stage: download, name: web, resize_mode: no}\n"
        )
    )
    assert Pipeline.from_yaml(file).config.stages[1].resize_mode == "no"  # type: ignore[attr-defined]


def test_secrets_stay_out_of_workspace_package_and_identity(
    write: Write, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = GOOD.replace(
        "    keep: text_words > 2\n",
        "    keep: text_words > 2\n    boilerplate: ['${MY_API_KEY}']\n",
    )
    identities = []
    for secret in ("hunter2-one", "hunter2-two"):
        monkeypatch.setenv("MY_API_KEY", secret)
        pipeline = Pipeline.from_yaml(write(text))
        pipeline.run(local=True, progress=False)
        identities.append(pipeline.plan()["stages"][0]["identity"])
    assert identities[0] == identities[1]
    for file in tmp_path.rglob("*"):
        if file.is_file() and file.name != "pairs.parquet":
            assert b"hunter2" not in file.read_bytes(), file


def test_override_by_stage_name_and_unknown_target(write: Write, pairs: Path) -> None:
    file = write(GOOD)
    pipeline = Pipeline.from_yaml(file, {"stages.text_rules.keep": "text_words > 9", "seed": "7"})
    assert (pipeline.config.stages[0].keep, pipeline.config.seed) == ("text_words > 9", 7)
    assert any(
        "there is no 'clip' here (items: text_rules, resolution)" in f
        for f in faults(file, **{"stages.clip.keep": "x"})
    )


def test_override_may_be_a_map_and_a_prompt_in_braces_stays_text(write: Write, pairs: Path) -> None:
    pipeline = Pipeline.from_yaml(write(GOOD), {"source.set": "{kind: web, year: 2024}"})
    assert pipeline.config.source.set == {"kind": "web", "year": 2024}
    (fault,) = faults(write(GOOD), name="{text}")
    assert "'{text}'" in fault


@pytest.mark.slow
def test_command_line_exit_codes_tell_a_wrong_file_from_a_failed_run(
    write: Write, pairs: Path, tmp_path: Path
) -> None:
    good = write(GOOD)
    assert pairmill("validate", str(good)).returncode == 0
    bad = pairmill("run", str(write("name: x\nstages: 3\n")))
    assert bad.returncode == 2
    assert "Traceback" not in bad.stderr
    (tmp_path / "out").mkdir()
    (tmp_path / "out/notes.txt").write_text("mine")
    failed = pairmill("run", "--local", str(write(GOOD)))
    assert failed.returncode == 1
    assert "holds files that are no package" in failed.stderr
    assert (tmp_path / "out/notes.txt").read_text() == "mine"
