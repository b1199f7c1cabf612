"""Which families of models `clip`, `match` and `caption` load, and whether they are right.

    python benchmarks/families.py [--write] [FAMILY ...]

Each family is built tiny, from its real config, model and processor classes with random weights and
a tokenizer made in code; stages are compared with direct calls of transformers, batches with single
rows, texts full of control tokens with plain ones.  `--write` writes the table into docs/models.md.
"""

import argparse
import io
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
from direct_scores import direct_matches, direct_open_clip, direct_scores
from PIL import Image
from tiny_models.heads import HEADS, THIN
from tiny_models.parts import HOSTILE, PLAIN, PROMPT, SIZES, pictures
from tiny_models.talkers import TALKERS, Talker
from tiny_models.towers import TOWERS

from pairmill.captioners.engine import Message, Request
from pairmill.filters.clip import ClipConfig, ClipStage
from pairmill.filters.match import MatchConfig, MatchStage
from pairmill.stages.caption import CaptionConfig, CaptionStage

PAGE = Path(__file__).parent.parent / "docs/models.md"
BEGIN, END = "<!-- begin of benchmarks/families.py -->", "<!-- end -->"
TOKENS = 8
CLOSE = 2e-5
"""Largest difference of two scores that are called equal: float32 sums in another order."""


Direct = Callable[[list[Image.Image], list[str]], list[float]]
"""Scores of pairs by transformers itself."""


@dataclass
class Row:
    """One line of the table: rows that were right, of those that were tried."""

    family: str
    stage: str
    loads: str
    direct: tuple[int, int]
    batch: tuple[int, int]
    hostile: tuple[int, int]

    def right(self) -> bool:
        return all(one == of and of > 0 for one, of in (self.direct, self.batch, self.hostile))

    def cells(self) -> list[str]:
        counts = (self.direct, self.batch, self.hostile)
        return [self.family, self.stage, self.loads, *(f"{one} of {of}" for one, of in counts)]


def png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=0)
    return out.getvalue()


@cache
def drawn(
    smallest: tuple[int, int] = SIZES[0], thinnest: tuple[int, int] = SIZES[1]
) -> tuple[list[Image.Image], list[bytes]]:
    """Pictures of every size, and their files: the same for nearly all families."""
    images = pictures(smallest, thinnest)
    return images, [png(image) for image in images]


def equal(one: Any, other: Any) -> tuple[int, int]:
    pairs = list(zip(one, other, strict=True))
    same = [abs(a - b) <= CLOSE if isinstance(a, float) else a == b for a, b in pairs]
    return sum(same), len(same)


def seeded(build: Callable[[Path], None], folder: Path) -> None:
    """The same weights each time: what a builder does not draw itself, transformers draws by
    torch's own chance.
    """
    import torch

    torch.manual_seed(0)
    build(folder)


def tower_row(family: str, build: Callable[[Path], None], folder: Path) -> Row:
    seeded(build, folder)
    stage = ClipStage(ClipConfig(model=str(folder), dtype="float32", batch_size=64))
    stage.setup()
    own = direct_open_clip if family.startswith("open_clip") else direct_scores
    return scored_row(family, "clip", stage, stage.model, lambda *rows: own(folder, *rows))


def head_row(family: str, build: Callable[[Path], None], folder: Path) -> Row:
    seeded(build, folder)
    stage = MatchStage(MatchConfig(model=str(folder), dtype="float32", batch_size=64))
    stage.setup()
    return scored_row(
        family, "match", stage, stage.model, lambda *rows: direct_matches(folder, *rows)
    )


def scored_row(family: str, name: str, stage: Any, holder: Any, own: Direct) -> Row:
    """The line of a stage that scores pairs; `own`: direct calls."""
    images, encoded = drawn(thinnest=THIN.get(family, SIZES[1]))

    def scores(texts: list[str], together: bool) -> list[float]:
        table = pa.table({"image": encoded, "text": texts})
        parts = [table] if together else [table.slice(i, 1) for i in range(len(texts))]
        return [s for part in parts for s in stage(part)[f"{name}_score"].to_pylist()]

    plain, hostile = scores(PLAIN, True), scores(HOSTILE, True)
    assert len({round(s, 4) for s in plain}) > 3, f"{family}: scores do not depend on the row"
    row = Row(
        family,
        name,
        loaded_by(holder),
        equal(plain, own(images, PLAIN)),
        equal(plain, scores(PLAIN, False)),
        equal(hostile, own(images, HOSTILE)),
    )
    stage.close()
    return row


def loaded_by(holder: Any) -> str:
    loaded = getattr(holder, "loaded", None)
    if loaded is None:
        return f"{type(holder.model).__name__} of open_clip"
    return f"{type(loaded.model).__name__}, {type(loaded.processor).__name__}"


def talker_row(family: str, talker: Talker, folder: Path) -> Row:
    seeded(talker.build, folder)
    stage = CaptionStage(
        CaptionConfig(
            model=str(folder),
            prompt=PROMPT,
            image="image" if talker.sees else None,
            dtype="float32",
            max_new_tokens=TOKENS,
        )
    )
    stage.setup()
    images, encoded = drawn(talker.smallest)

    def answers(texts: list[str], together: bool) -> list[str]:
        table = pa.table({"image": encoded, "text": texts})
        parts = [table] if together else [table.slice(i, 1) for i in range(len(texts))]
        return [told(row) for part in parts for row in stage(part).to_pylist()]

    plain = answers(PLAIN, True)
    assert len(set(plain)) > 3, f"{family}: answers do not depend on the row"
    hostile = answers(HOSTILE, True)
    chat = stage.engine.engine.chat
    row = Row(
        family,
        "caption",
        loaded_by(stage.engine.engine),
        equal(plain, direct_answers(folder, talker, images)),
        equal(plain, answers(PLAIN, False)),
        harmless(chat, images if talker.sees else [None] * len(HOSTILE), hostile),
    )
    stage.close()
    return row


def told(row: dict[str, Any]) -> str:
    """What the model wrote, reasoning included."""
    return f"{row.get('caption_reasoning') or ''}{row['caption'] or ''}"


def direct_answers(folder: Path, talker: Talker, images: list[Image.Image]) -> list[str]:
    """As the family's own example does it, one row at a time."""
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForMultimodalLM, AutoProcessor

    kind = AutoModelForMultimodalLM if talker.sees else AutoModelForCausalLM
    own = {"attn_implementation": talker.kernels} if talker.kernels else {}
    model = kind.from_pretrained(folder, dtype=torch.float32, **own).eval()
    processor = AutoProcessor.from_pretrained(folder)
    found = []
    for image, text in zip(images, PLAIN, strict=True):
        prompt = PROMPT.format(text=text)
        if not talker.template:
            inputs = processor(text=prompt + talker.mark, images=image, return_tensors="pt")
        else:
            content: Any = [{"type": "image", "image": image}, {"type": "text", "text": prompt}]
            turn = {"role": "user", "content": content if talker.sees else prompt}
            inputs = processor.apply_chat_template(
                [turn],
                chat_template=processor.chat_template or processor.tokenizer.chat_template,
                add_generation_prompt=True,
                tokenize=True,
                return_dict=True,
                return_tensors="pt",
            )
        inputs.pop("labels", None)
        inputs = inputs.to(torch.float32)  # as examples do: processors of some families give bf16
        with torch.no_grad():
            out = model.generate(**inputs, max_new_tokens=TOKENS, do_sample=False)[0]
        if not (model.config.is_encoder_decoder or talker.whole):
            out = out[inputs["input_ids"].shape[1] :]
        text = processor.decode(out, skip_special_tokens=True)
        found.append(text.replace("<think>", "").strip())
    return found


def harmless(chat: Any, images: list[Any], answers: list[str]) -> tuple[int, int]:
    """Rows that were answered, with as many control tokens in their prompt as with a plain text."""
    right = 0
    for image, text, answer in zip(images, HOSTILE, answers, strict=True):
        counts = []
        for words in ("plain", text):
            prompt = PROMPT.format(text=chat.neutral(words))
            pictures = () if image is None else (image,)
            inputs = chat.encode([Request((Message("user", prompt, pictures),))])
            known = [t.content for t in chat.tokenizer.added_tokens_decoder.values()]
            ids = set(chat.tokenizer.convert_tokens_to_ids(known))
            counts.append(sorted(i for i in inputs["input_ids"][0].tolist() if i in ids))
        right += counts[0] == counts[1] and answer is not None
    return right, len(answers)


def rows_of(wanted: Sequence[str] = ()) -> Iterator[Row]:
    """The table's rows, each as it is known."""
    with tempfile.TemporaryDirectory() as scratch:
        for number, family in enumerate([*TOWERS, *HEADS, *TALKERS]):
            if wanted and family not in wanted:
                continue
            folder = Path(scratch) / str(number)
            if family in TOWERS:
                yield tower_row(family, TOWERS[family], folder)
            elif family in HEADS:
                yield head_row(family, HEADS[family], folder)
            else:
                yield talker_row(family, TALKERS[family], folder)


def table(rows: Sequence[Row]) -> str:
    head = ["family", "stage", "loads", "equals direct", "batch = one by one", "hostile texts"]
    lines = [head, ["---"] * len(head), *(row.cells() for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("families", nargs="*")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    rows = []
    for row in rows_of(options.families):
        rows.append(row)
        print(" | ".join(row.cells()), flush=True)
    if options.write:
        before, _, rest = PAGE.read_text().partition(BEGIN)
        after = rest.partition(END)[2]
        PAGE.write_text(f"{before}{BEGIN}\n{table(rows)}{END}{after}")
    if wrong := [row.family for row in rows if not row.right()]:
        raise SystemExit(f"not right: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
