"""What proves recipes that make answers: facets, preferences, clean ones, ones that know the page,
ones that need no picture.
"""

from pathlib import Path

import numpy as np
import polars as pl

from pairmill.demo.page_facts import told_fact
from pairmill.demo.proofs import Proof, accuracy, proof, wholes
from pairmill.demo.proofs_merging import differences
from pairmill.demo.quality import Measure, auc, kinds_in, mean


@proof("flame")
def flame(rows: pl.DataFrame, folder: Path) -> list[Measure]:
    """Facets say different things, each is right, and what is stored is what the model gives."""
    import torch

    from pairmill.demo.show import MODELS
    from pairmill.models.library import transformers

    full = {k: [len(t.split()) for t in rows[k]] for k in ("brief", "full")}
    files = sorted((folder / "0/data").glob("*.parquet"))
    stored = pl.concat([pl.read_parquet(f) for f in files])
    model = transformers().AutoModel.from_pretrained(MODELS / "clip").eval()
    words = transformers().AutoTokenizer.from_pretrained(MODELS / "clip")
    with torch.inference_mode():
        told = model.text_model(**words(stored["full"].to_list(), padding=True,
                                        return_tensors="pt"))  # fmt: skip
        again = torch.nn.functional.normalize(model.text_projection(told.pooler_output)).numpy()
    far = np.abs(again - np.array(stored["full_vector_text_embedding"].to_list())).max()
    return [
        Measure("facets that differ", mean(rows["brief"] != rows["full"]), rows.height, 1.0),
        Measure("words of the long facet / the short one",
                float(np.mean(full["full"]) / np.mean(full["brief"])), rows.height, 1.3),
        Measure("short facet: right / mentioned", accuracy(rows, "brief"), rows.height, 0.9),
        Measure("long facet: right / mentioned", accuracy(rows, "full"), rows.height, 0.9),
        Measure("stored embeddings within .001 of recomputed", float(far <= 1e-3),
                stored.height, 1.0),
    ]  # fmt: skip


@proof("stic")
def stic(rows: pl.DataFrame, folder: Path) -> list[Measure]:
    """The chosen answer is right more often than the rejected, and one attribute apart."""
    kept = rows.filter(pl.col("fate") == "kept").drop_nulls(["chosen", "rejected"])
    right = [score(kept, name) for name in ("chosen", "rejected")]
    apart = [differences(a, b) == 1 for a, b in kept.select("chosen", "rejected").iter_rows()]
    told = [
        inserted in bad and removed in good
        for good, bad, removed, inserted in kept.select(
            "chosen", "rejected", "rejected_removed", "rejected_inserted"
        ).iter_rows()
    ]
    every = rows.drop_nulls(["chosen", "rejected"])
    all_right = [score(every, name) for name in ("chosen", "rejected")]
    return [
        Measure("chosen more right than rejected", float(np.mean(right[0] > right[1])),
                kept.height, 0.95),
        Measure("the same without the gate", float(np.mean(all_right[0] > all_right[1])),
                every.height),
        Measure("one attribute apart", float(np.mean(apart)), kept.height, 0.95),
        Measure("what was put in and out is told", float(np.mean(told)), kept.height, 0.95),
    ]  # fmt: skip


def score(rows: pl.DataFrame, column: str) -> np.ndarray:
    """Share of what each caption mentions that is right."""
    return np.array([accuracy(row, column) for row in rows.iter_slices(1)])


@proof("minigpt4")
def minigpt4(rows: pl.DataFrame, folder: Path) -> list[Measure]:
    """The clean set is right more often than all that was written."""
    made = rows.drop_nulls("described")
    kept = made.filter(pl.col("fate") == "kept")
    every, clean = accuracy(made, "described"), accuracy(kept, "described")
    truncated = made.filter("check_truncated")
    return [
        Measure("clean / all", kept.height / made.height, made.height),
        Measure("cut off or broken among all, of them kept: none",
                1 - mean(truncated["fate"] == "kept"), truncated.height, 1.0),
        Measure("all: right / mentioned", every, made.height),
        Measure("clean: right / mentioned", clean, kept.height),
        Measure("gain", clean - every, kept.height, 0.05),
    ]  # fmt: skip


def viscon(rows: pl.DataFrame, folder: Path) -> list[Measure]:
    """The caption that knows the page has what the picture does not show; the plain one has not."""
    told = rows.drop_nulls(["fact", "contextual", "plain"])
    about = told.filter(pl.Series([
        bool(kinds_in(page) & set(kinds)) for page, kinds in told.select("page_text", "kinds")
        .iter_rows()
    ]))  # fmt: skip
    found = [
        [told_fact(page) in (text or "") for page, text in about.select("page_text", name)
         .iter_rows()]
        for name in ("contextual", "plain")
    ]  # fmt: skip
    return [
        Measure("the page's fact in the contextual caption", float(np.mean(found[0])),
                about.height, 0.9),
        Measure("none in the plain caption", 1 - float(np.mean(found[1])), about.height, 1.0),
        Measure("contextual: right / mentioned", accuracy(told, "contextual"), told.height),
    ]  # fmt: skip


def debiasing(rows: pl.DataFrame, folder: Path) -> list[Measure]:
    """The difference of log-probabilities tells questions that hold their answer from others."""
    leaky = rows.filter("leaky")["reliance"].to_numpy()
    sighted = rows.filter(~pl.col("leaky"))["reliance"].to_numpy()
    return [
        Measure("difference tells questions that need the picture, ROC AUC",
                auc(sighted, leaky), rows.height, 0.95),
        Measure("mean difference of questions that hold their answer", float(leaky.mean()),
                len(leaky)),
        Measure("of the others", float(sighted.mean()), len(sighted)),
        Measure("answers with the picture, right / mentioned",
                accuracy(rows.filter(~pl.col("leaky")), "seen"), len(sighted)),
        Measure("wholly right without it",
                mean(wholes(rows.filter(~pl.col("leaky")), "blind")), len(sighted)),
    ]  # fmt: skip


ASKED: dict[str, Proof] = {"viscon": viscon, "debiasing": debiasing}
"""Recipe → what proves it, on a world whose pages tell facts (`facts`)."""
