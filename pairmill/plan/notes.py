"""What a person should know of a stage before it runs, for the plan."""

from collections.abc import Sequence

from pairmill.plan.chain import PlannedStage
from pairmill.schemas.arrow import of_role


def notes_of(stages: Sequence[PlannedStage], stage: PlannedStage) -> list[str]:
    """What the stage says of itself, then what its place among the others says of it."""
    return [*stage.stage.notes(), *shared_encoders(stages, stage)]


def shared_encoders(stages: Sequence[PlannedStage], stage: PlannedStage) -> list[str]:
    """A warning where a stage over all rows compares embeddings of the encoder that scores pairs.

    What that encoder does not see it neither scores nor tells apart: duplicates found by it are
    those that the score already takes for the same, so the gate's blind spots stay in and become a
    larger share (CommonPool's copies of test sets were found by a copy-detection model; CLIP at the
    same precision found 2% of them).
    """
    if not stage.is_global:
        return []
    writers = [
        writer for writer in stages if set(of_role(writer.writes, "embedding")) & set(stage.reads)
    ]
    scorers = [s for s in stages for w in writers if scores_pairs(s) and same_encoder(s, w)]
    return [
        f"warning: {stage.name!r} compares embeddings of {writer.name!r}, the encoder by which "
        f"{scorer.name!r} scores pairs: what it does not see is neither scored nor told apart, and "
        "CLIP-like encoders are poor evidence of copies; a second encoder (`embed` with another "
        "model), or `kind: perceptual` for copies, is independent of the score"
        for writer, scorer in zip(writers, scorers, strict=False)
    ]


def scores_pairs(stage: PlannedStage) -> bool:
    """Whether a stage judges a text against an image."""
    texts = {"text"} & set(stage.reads)
    sides = [name for name in stage.reads if name.endswith("embedding")]
    return bool(of_role(stage.writes, "score")) and (bool(texts) or len(sides) > 1)


def same_encoder(one: PlannedStage, two: PlannedStage) -> bool:
    """Whether two stages look with one model."""
    model = getattr(one.config, "model", None)
    shared = set(of_role(two.writes, "embedding")) & set(one.reads)
    same = model is not None and model == getattr(two.config, "model", None)
    return one is two or bool(shared) or same
