"""How much each picture resembles a phrase, by a CLIP model."""

import pyarrow as pa

from pairmill.stage import ModelConfig, Stage, column, decoded, pretrained


class ResemblesConfig(ModelConfig):
    phrase: str
    """What the pictures are compared with."""
    image: str = "image"
    """Column with encoded images."""


class ResemblesStage(Stage):
    """Cosine of the embeddings of picture and phrase."""

    Config, prefix, actor = ResemblesConfig, "resembles", True

    def reads(self) -> list[str]:
        return [self.config.image]

    def writes(self) -> pa.Schema:
        meaning = "cosine of picture and phrase"
        return pa.schema([column(self.column(), pa.float32(), meaning, "", -1, 1, role="score")])

    def setup(self) -> None:
        self.model, self.processor = pretrained(self)

    def __call__(self, rows: pa.Table) -> pa.Table:
        pictures, scores = decoded(rows[self.config.image]), []
        if pictures.images:
            asked = {"text": [self.config.phrase], "images": pictures.images, "padding": True}
            answer = self.model(
                **self.processor(**asked, return_tensors="pt").to(self.model.device)
            )
            scores = (answer.image_embeds @ answer.text_embeds.T)[:, 0].tolist()
        return pictures.answer(self.writes(), scores)
