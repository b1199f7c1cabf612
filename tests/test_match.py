"""`match`: image–text matching heads, whole, checked before work, named where `clip` refuses them."""

from pathlib import Path

import pytest

from pairmill.errors import PairmillError
from pairmill.filters.clip import ClipConfig, ClipStage
from pairmill.filters.match import MatchConfig, MatchStage
from tests.later import tensors
from tests.tiny import built

pytestmark = pytest.mark.filterwarnings("ignore")


def test_match_refuses_what_is_no_head_and_a_head_with_a_hole(tmp_path: Path) -> None:
    with pytest.raises(PairmillError, match="type 'clip' .* none of BlipForImageTextRetrieval"):
        MatchStage(MatchConfig(model=built("clip", tmp_path))).examine()
    head = built("blip_itm", tmp_path)
    with pytest.raises(PairmillError, match="matching head .* the stage `match` scores pairs"):
        ClipStage(ClipConfig(model=head)).examine()
    stage = MatchStage(MatchConfig(model=head, dtype="bfloat16"))
    assert "BlipForImageTextRetrieval with BlipProcessor; cpu, bfloat16" in stage.examine()[0]
    weights = tensors.load_file(f"{head}/model.safetensors")
    del weights["itm_head.weight"]
    tensors.save_file(weights, f"{head}/model.safetensors", metadata={"format": "pt"})
    for look in (stage.examine, stage.setup):
        with pytest.raises(PairmillError, match=r"no weights for itm_head\.weight"):
            look()
