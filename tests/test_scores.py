"""Scores against independent computations."""

import io
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageFilter

from pairmill.errors import StageBroken
from pairmill.filters.image_rules import ImageRulesConfig, ImageRulesStage
from pairmill.filters.perplexity import PerplexityConfig, PerplexityStage
from pairmill.stage import check_stage
from tests.tiny import built


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def test_image_rules_are_opencvs_and_skimages_figures() -> None:
    from skimage import data
    from skimage.measure import shannon_entropy

    photo = data.astronaut()[:200, :240]
    found = ImageRulesStage(ImageRulesConfig())(pa.table({"image": [png(photo)]})).to_pylist()[0]
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    inner = cv2.Laplacian(grey, cv2.CV_64F)[1:-1, 1:-1]
    assert found["image_rules_sharpness"] == pytest.approx(inner.var(), rel=0.01)
    assert found["image_rules_entropy"] == pytest.approx(shannon_entropy(grey), abs=0.01)
    assert found["image_rules_brightness"] == pytest.approx(grey.mean(), abs=0.6)
    assert found["image_rules_contrast"] == pytest.approx(grey.std(), abs=0.6)
    assert found["image_rules_bytes"] == len(png(photo))


def test_image_rules_tell_blurred_grey_and_framed_pictures_apart() -> None:
    from skimage import data

    photo = data.astronaut()[:200, :200]
    blurred = np.asarray(Image.fromarray(photo).filter(ImageFilter.GaussianBlur(4)))
    grey = np.repeat(photo[..., :1], 3, axis=2)
    framed = np.full((200, 200, 3), 250, np.uint8)
    framed[40:180, 50:190] = photo[:140, :140]
    plain = np.full((2, 3, 3), 7, np.uint8)
    images = [png(p) for p in (photo, blurred, grey, framed, plain)]
    found = ImageRulesStage(ImageRulesConfig())(pa.table({"image": images})).to_pydict()
    sharp, border = found["image_rules_sharpness"], found["image_rules_border"]
    assert sharp[1] < sharp[0] / 20
    assert found["image_rules_saturation"][2] == 0 < found["image_rules_saturation"][0]
    assert border[3] == pytest.approx(1 - 140 * 140 / 200**2, abs=0.03)
    assert border[0] < 0.05
    assert (border[4], sharp[4], found["image_rules_entropy"][4]) == (1, 0, 0)


def test_perplexity_is_the_models_own_loss(tmp_path: Path) -> None:
    import torch
    import transformers as t

    model = built("text", tmp_path)
    texts = ["a red ball on the meadow", "two", "the quick brown fox jumps", "x", ""]
    rows = pa.table({"text": texts})
    found = check_stage(PerplexityStage, rows, model=model).to_pylist()
    network = t.AutoModelForCausalLM.from_pretrained(model).eval()
    tokenizer = t.AutoTokenizer.from_pretrained(model)
    for text, row in zip(texts, found, strict=True):
        ids = tokenizer(text, return_tensors="pt")["input_ids"].long()
        if ids.shape[1] < 2:
            assert row["perplexity"] is None
            assert row["perplexity_tokens"] == 0
            continue
        with torch.inference_mode():
            loss = network(input_ids=ids, labels=ids).loss.double().item()
        assert row["perplexity"] == pytest.approx(np.exp(loss), rel=1e-3)
        assert row["perplexity_tokens"] == ids.shape[1] - 1
        assert row["perplexity_bits"] == pytest.approx(
            loss * (ids.shape[1] - 1) / np.log(2), rel=1e-3
        )
    short = check_stage(PerplexityStage, rows, model=model, max_tokens=3)
    assert max(short["perplexity_tokens"].to_pylist()) == 2
    with pytest.raises(ValueError, match="either `model:`.*or `kenlm:`"):
        PerplexityConfig()


ARPA = """\\data\\
ngram 1=5
ngram 2=3

\\1-grams:
-0.7\t<unk>
0\t<s>\t-0.3
-0.9\t</s>
-0.5\tred\t-0.2
-0.6\tball\t-0.4

\\2-grams:
-0.2\t<s> red
-0.1\tred ball
-0.25\tball </s>

\\end\\
"""


def test_perplexity_by_kenlm_is_what_the_file_says(tmp_path: Path) -> None:
    pytest.importorskip("kenlm", reason="pip install 'pairmill[kenlm]', which needs a compiler")
    file = tmp_path / "two.arpa"
    file.write_text(ARPA)
    rows = pa.table({"text": ["red ball", "red red", "a ball", "red ball\n\nred ball", "", " "]})
    found = check_stage(PerplexityStage, rows, kenlm=str(file))
    # by hand, in powers of ten: bigrams where there are any, else back-off and unigram
    lines = [0.2 + 0.1 + 0.25, 0.2 + (0.2 + 0.5) + (0.2 + 0.9), (0.3 + 0.7) + 0.6 + 0.25]
    expected = [lines[0] / 3, lines[1] / 3, lines[2] / 3, lines[0] / 3]
    assert found["perplexity"].to_pylist()[4:] == [None, None]
    assert found["perplexity"].to_pylist()[:4] == pytest.approx([10**p for p in expected], rel=1e-5)
    assert found["perplexity_tokens"].to_pylist() == [3, 3, 3, 6, 0, 0]
    assert found["perplexity_bits"][3].as_py() == pytest.approx(2 * lines[0] / np.log10(2))


def test_a_text_that_a_kenlm_file_gives_no_chance_fails_and_costs_no_other(tmp_path: Path) -> None:
    pytest.importorskip("kenlm", reason="pip install 'pairmill[kenlm]', which needs a compiler")
    file = tmp_path / "impossible.arpa"
    rows = pa.table({"text": ["red ball", "a ball", "red red"]})
    for impossible in ("-inf", "-3.4e38"):
        file.write_text(ARPA.replace("-0.1\tred ball", f"{impossible}\tred ball"))
        found = check_stage(PerplexityStage, rows, kenlm=str(file)).to_pylist()
        assert found[0]["error"]["class"] == "not_finite"
        assert found[0]["perplexity"] is found[0]["perplexity_bits"] is None
        assert [row["error"] for row in found[1:]] == [None, None]
    file.write_text(ARPA.replace("-0.1\tred ball", "-99\tred ball"))
    found = check_stage(PerplexityStage, rows, kenlm=str(file)).to_pylist()
    assert found[0]["perplexity_bits"] == pytest.approx((0.2 + 99 + 0.25) / np.log10(2))
    assert found[0]["error"] is None


def test_a_file_that_kenlm_cannot_read_is_named_before_the_run(tmp_path: Path) -> None:
    pytest.importorskip("kenlm", reason="pip install 'pairmill[kenlm]', which needs a compiler")
    file = tmp_path / "one.arpa"
    file.write_text("no model\n")
    stage = PerplexityStage(PerplexityConfig(kenlm=str(file)))
    with pytest.raises(StageBroken, match=r"KenLM cannot read .*one\.arpa"):
        stage.examine()
    with pytest.raises(ValueError, match="belongs to `kenlm:`"):
        PerplexityConfig(model="gpt2", pieces=str(file))
