"""A renderer as a stage of one's own: draws the scene that a text of the demo world tells of."""

import io

import pyarrow as pa

from pairmill.demo.drawing import render
from pairmill.demo.oracle_reading import told_by
from pairmill.demo.scenes import Scene, rng_for
from pairmill.stage import Stage, StageConfig, column


class DrawnConfig(StageConfig):
    """Draws what a text tells of."""

    text: str = "text"
    """Column with the texts."""


class DrawnStage(Stage):
    """A PNG for each text; an error where it tells of no thing."""

    Config, prefix = DrawnConfig, "drawn"

    def reads(self) -> list[str]:
        return [self.config.text]

    def writes(self) -> pa.Schema:
        return pa.schema([column(self.column(), pa.large_binary(), "the text as a picture")])

    def __call__(self, rows: pa.Table) -> pa.Table:
        drawn, errors = [], []
        for text in rows[self.config.text].to_pylist():
            told = told_by(text)
            drawn.append(picture(Scene(told.groups, told.place or "room")) if told.groups else None)
            nothing = {"class": "nothing_told", "message": "the text tells of no thing"}
            errors.append(None if told.groups else nothing)
        return pa.table({self.column(): pa.array(drawn, pa.large_binary()), "error": errors})


def picture(scene: Scene) -> bytes:
    """The scene as a PNG, the same for the same scene."""
    out = io.BytesIO()
    render(scene, 320, 240, rng_for("drawn", scene)).save(out, "PNG")
    return out.getvalue()
