"""fastText files of one's own: what is no whole model of classes is named before the run."""

import struct
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from pairmill.errors import StageBroken
from pairmill.filters.caption_checks.config import CaptionChecksConfig
from pairmill.filters.caption_checks.stage import CaptionChecksStage
from pairmill.filters.fasttext_file import fault_of
from pairmill.filters.language import LanguageConfig, LanguageStage, bundled_model

WORDS, LABELS = [b"</s>", b"a", b"ein"], [b"__label__en", b"__label__de"]
INPUT, OUTPUT = [0.0, 0.0, 1.0, 0.0, 0.0, 1.0], [3.0, 0.0, 0.0, 3.0]
SKIPGRAM, SUPERVISED = 2, 3


def written(
    inputs: Sequence[float] = INPUT, outputs: Sequence[float] = OUTPUT, kind: int = SUPERVISED
) -> bytes:
    """A model of two classes as fastText 0.9 writes it, not quantised, with the plain softmax."""
    found = struct.pack("<ii12id", 793712314, 12, 2, 5, 5, 1, 5, 1, 3, kind, 0, 0, 0, 100, 1e-4)
    found += struct.pack("<iiiqq", 5, len(WORDS), len(LABELS), 100, -1)
    for words, entry in ((WORDS, 0), (LABELS, 1)):
        found += b"".join(word + b"\0" + struct.pack("<qb", 10, entry) for word in words)
    for values in (inputs, outputs):
        found += struct.pack(f"<?qq{len(values)}f", False, len(values) // 2, 2, *values)
    return found


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (written()[:-10], "breaks off"),
        (written()[:70], "breaks off"),
        (written()[:100], "breaks off"),
        (written(kind=SKIPGRAM), "holds word vectors"),
        (written(outputs=[float("nan"), 0, 0, 3]), "NaN or infinite"),
        (written(inputs=[0, 0, float("inf"), 0, 0, 1]), "NaN or infinite"),
        (struct.pack("<ii", 793712314, 13) + bytes(200), "of version 13"),
        (b"<html>not found</html>", "is no fastText model"),
        (b"", "is no fastText model"),
    ],
)
def test_files_that_are_no_whole_model_are_named_before_the_run(
    tmp_path: Path, content: bytes, why: str
) -> None:
    file = tmp_path / "own.bin"
    file.write_bytes(content)
    checks = CaptionChecksConfig(caption="text", language_model=str(file))
    for stage in (LanguageStage(LanguageConfig(model=str(file))), CaptionChecksStage(checks)):
        with pytest.raises(StageBroken, match=f"stage '{stage.name}': .*own.bin .*{why}"):
            stage.examine()
    with pytest.raises(StageBroken, match=why):
        LanguageStage(LanguageConfig(model=str(file))).setup()


def test_a_whole_model_of_ones_own_tells_its_classes(tmp_path: Path) -> None:
    file = tmp_path / "own.bin"
    file.write_bytes(written())
    stage = LanguageStage(LanguageConfig(model=str(file)))
    stage.setup()
    assert stage(pa.table({"text": ["a", "ein ein", "a"]}))["lang"].to_pylist() == [
        "en",
        "de",
        "en",
    ]


def test_the_quantised_model_that_is_there_is_whole_to_its_last_byte(tmp_path: Path) -> None:
    assert fault_of(bundled_model()) == ""
    file = tmp_path / "cut.ftz"
    file.write_bytes(Path(bundled_model()).read_bytes()[:-1])
    assert "breaks off" in fault_of(str(file))
