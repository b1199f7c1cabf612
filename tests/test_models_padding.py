"""Text models to which padding is as good as a word: a row's text does not depend on the rows
beside it.
"""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pairmill.captioners.config import CaptionConfig
from pairmill.models.mended import DECODERS, PADDING_SEEN
from pairmill.plan.references import resolve_references
from pairmill.stages.caption import CaptionStage
from tests.conftest import OPEN
from tests.later import torch, transformers
from tests.tiny import built, parts

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]
WIDTH = {"hidden_size": 32, "d_model": 32, "intermediate_size": 64, "num_hidden_layers": 2}
WIDTH |= {"num_attention_heads": 4, "vocab_size": 320, "max_position_embeddings": 2048}
LAYERS = {"encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4}
LAYERS |= {"decoder_attention_heads": 4, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64}
SIZES: dict[str, dict[str, Any]] = {
    "deepseek_v4": {
        **{"q_lora_rank": 16, "num_key_value_heads": 1, "head_dim": 16, "o_lora_rank": 16},
        **{"n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32},
        "sliding_window": 8,
    },
    "recurrent_gemma": {"num_hidden_layers": 3, "lru_width": 32, "attention_window_size": 8},
    "roformer": {"is_decoder": True, "embedding_size": 32},
    "xlnet": {"n_layer": 2, "n_head": 4, "d_inner": 64, "max_position_embeddings": None},
    "bart": {**LAYERS, "is_decoder": True, "is_encoder_decoder": False},
}
"""Of tiny models, by their type."""


def text_model(kind: str, folder: Path) -> str:
    """A tiny model of a type, with random weights and the tokenizer of another tiny one."""
    own = built("text", folder)
    words = transformers.AutoTokenizer.from_pretrained(own)
    ends = {"eos_token_id": words.eos_token_id, "pad_token_id": words.pad_token_id}
    base = transformers.AutoConfig.for_model(kind)
    sizes = {n: v for n, v in WIDTH.items() if hasattr(base, n) and n not in base.attribute_map}
    own_sizes = {n: v for n, v in {**sizes, **SIZES[kind], **ends}.items() if v is not None}
    config = transformers.AutoConfig.for_model(kind, **own_sizes)
    torch.manual_seed(0)
    model = parts.awake(transformers.AutoModelForCausalLM.from_config(config))
    model.save_pretrained(folder / kind)
    words.save_pretrained(folder / kind)
    return str(folder / kind)


@pytest.mark.parametrize("kind", SIZES)
def test_row_of_a_model_that_sees_padding_does_not_depend_on_the_rows_beside_it(
    kind: str, tmp_path: Path
) -> None:
    model = text_model(kind, tmp_path)
    options: dict[str, Any] = {"dtype": "float32", "max_new_tokens": 4, "logprobs": True}
    stage = CaptionStage(CaptionConfig(model=model, image=None, prompt="{text}", **options))
    stage.setup()
    OPEN.append(stage)
    rows = pa.table({"text": parts.PLAIN})
    together = stage(rows)
    alone = pa.concat_tables(stage(rows.slice(i, 1)) for i in range(rows.num_rows))
    assert together["caption"].to_pylist() == alone["caption"].to_pylist()
    sure = [part["caption_logprob"].to_pylist() for part in (together, alone)]
    assert sure[0] == pytest.approx(sure[1], abs=1e-5)
    assert len(set(sure[0])) == rows.num_rows, "answers do not depend on the row"


def test_models_that_see_padding_have_another_identity_and_their_kin_have_not(
    tmp_path: Path,
) -> None:
    def mends(**description: Any) -> str | None:
        (tmp_path / "config.json").write_text(json.dumps(description))
        facts = resolve_references(CaptionConfig(model=str(tmp_path)))[1]["model"]
        return facts.get("mended")

    for kind in PADDING_SEEN:
        assert mends(model_type=kind) == "unpadded-1"
    for kind in DECODERS:
        assert mends(model_type=kind, is_encoder_decoder=False) == "unpadded-1"
        assert mends(model_type=kind) is None
        assert mends(model_type="florence2", text_config={"model_type": kind}) is None
