"""CLIP similarity of image and text."""

from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from pairmill.errors import StageBroken, first_line
from pairmill.images import DecodeError, decode_rgb
from pairmill.schemas.arrow import column, error_array
from pairmill.schemas.config import MODEL, SPEED, StageConfig
from pairmill.stages.base import Stage
from pairmill.torch_device import Device, Precision, limit_threads, pick_device, pick_dtype


class ClipConfig(StageConfig):
    """Cosine similarity of image and text by a CLIP-like model of `transformers`.

    LAION-5B keeps English pairs with ViT-B/32 >= 0.28, others with >= 0.26; DataComp's clip filters
    are thresholds on L/14 or B/32 (top 30%: L/14 >= 0.243, B/32 >= 0.281).
    """

    stage: Annotated[Literal["clip"], SPEED] = "clip"
    model: Annotated[str, MODEL] = "openai/clip-vit-base-patch32"
    """Hub id or folder of a model with `get_image_features` and `get_text_features` (CLIP, SigLIP,
    AltCLIP, …).
    """
    revision: Annotated[str | None, SPEED] = None
    """Branch, tag or commit of a hub model; what it resolves to is part of the identity."""
    image: str = "image"
    """Column with encoded images."""
    text: str = "text"
    """Column with texts; cut at the text tower's length."""
    embeddings: list[Literal["image", "text"]] = []
    """Embeddings to store, unit length, as float16."""
    embedding_dim: int | None = Field(None, ge=1, le=16_384)
    """Length of stored embeddings; read from the model's config if absent."""
    device: Annotated[Device, SPEED] = "auto"
    """`cuda` without a GPU is an error, never a CPU run."""
    dtype: Precision = "float32"
    """Precision of the forward pass; on a GPU, bfloat16 or float16 is several times as fast."""
    batch_size: Annotated[int, SPEED] = Field(64, ge=1, le=65_536)
    """Rows given to the model at once."""


class ClipStage(Stage):
    """`clip_score` = cosine of the projected image and text embeddings, in [-1, 1]."""

    Config = ClipConfig
    prefix = "clip"
    version = 2
    decodes = True
    actor = True

    def reads(self) -> list[str]:
        return [self.config.image, self.config.text]

    def writes(self) -> pa.Schema:
        fields = [
            column(
                self.column("score"),
                pa.float32(),
                "cosine of image and text embedding",
                "",
                -1,
                1,
                role="score",
            )
        ]
        for side in self.config.embeddings:
            kind = pa.list_(pa.float16(), self.dimension())
            fields.append(
                column(
                    self.column(f"{side}_embedding"),
                    kind,
                    f"unit-length {side} embedding",
                    role="embedding",
                )
            )
        return pa.schema(fields)

    def dimension(self) -> int:
        if self.config.embedding_dim is None:
            from transformers import AutoConfig

            config = AutoConfig.from_pretrained(self.config.model, revision=self.config.revision)
            dim = getattr(config, "projection_dim", None) or getattr(
                getattr(config, "vision_config", config), "hidden_size", None
            )
            if not dim:
                raise StageBroken(
                    f"stage {self.name!r}: the config of {self.config.model!r} tells no embedding length; set `embedding_dim`"
                )
            self.config = self.config.model_copy(update={"embedding_dim": int(dim)})
        return self.config.embedding_dim

    def setup(self) -> None:
        from transformers import AutoModel, AutoProcessor

        limit_threads(self.config.resources.cpus or self.cpus)
        self.device = pick_device(self.config.device, self.name)
        self.dtype = pick_dtype(self.config.dtype)
        try:
            model: Any = AutoModel.from_pretrained(
                self.config.model, revision=self.config.revision, dtype=self.dtype
            )
            self.processor: Any = AutoProcessor.from_pretrained(
                self.config.model, revision=self.config.revision
            )
        except (OSError, ValueError, KeyError) as error:
            raise StageBroken(
                f"stage {self.name!r}: model {self.config.model!r} does not load: {first_line(error)}"
            ) from error
        self.model = model.to(self.device).eval()
        limit = getattr(
            getattr(model.config, "text_config", model.config), "max_position_embeddings", 77
        )
        self.max_tokens = min(limit, self.processor.tokenizer.model_max_length)
        # SigLIP was trained on, and attends to, texts padded to full length.
        self.padding: Any = (
            "max_length" if "siglip" in getattr(model.config, "model_type", "") else True
        )
        self.threads = ThreadPoolExecutor(max(1, int(self.config.resources.cpus or self.cpus)))

    def __call__(self, rows: pa.Table) -> pa.Table:
        images, errors = [], []
        for decoded in self.threads.map(decode, rows.column(self.config.image)):
            errors.append(decoded if isinstance(decoded, tuple) else None)
            images.append(None if isinstance(decoded, tuple) else decoded)
        sound = [i for i, e in enumerate(errors) if e is None]
        texts = rows.column(self.config.text).take(pa.array(sound, pa.int64())).to_pylist()
        image, text = self.embed([images[i] for i in sound], texts)
        scores = np.full(rows.num_rows, np.nan, np.float32)
        scores[sound] = (image * text).sum(1)
        columns: list[pa.Array] = [pa.array(scores)]
        for side in self.config.embeddings:
            columns.append(
                spread(image if side == "image" else text, sound, rows.num_rows, self.dimension())
            )
        return pa.table(columns, schema=self.writes()).append_column("error", error_array(errors))

    def embed(self, images: list[Any], texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Unit-length float32 embeddings, (n, d) each."""
        import torch

        if not images:
            return np.zeros((0, 1), np.float32), np.zeros((0, 1), np.float32)
        pixels = self.processor.image_processor(images=images, return_tensors="pt")["pixel_values"]
        words = self.processor.tokenizer(
            texts,
            padding=self.padding,
            truncation=True,
            max_length=self.max_tokens,
            return_tensors="pt",
        )
        with torch.inference_mode():
            image = features(
                self.model.get_image_features(pixel_values=pixels.to(self.device, self.dtype))
            )
            text = features(self.model.get_text_features(**words.to(self.device)))
        return unit(image), unit(text)


def decode(scalar: pa.Scalar) -> Any:
    """An RGB image, or (error class, message)."""
    try:
        return decode_rgb(scalar.as_py())
    except DecodeError as error:
        return ("decode", str(error))


def features(answer: Any) -> Any:
    """transformers 5 wraps the projected features in an output object; 4 gave the tensor."""
    return answer if hasattr(answer, "shape") else answer.pooler_output


def unit(embeddings: Any) -> np.ndarray:
    vectors = embeddings.float().cpu().numpy()
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def spread(vectors: np.ndarray, rows: list[int], total: int, dim: int) -> pa.Array:
    """Embeddings of some rows as a nullable fixed-size list column of all rows."""
    full = np.zeros((total, dim), np.float16)
    full[rows] = vectors
    present = np.zeros(total, bool)
    present[rows] = True
    return pa.FixedSizeListArray.from_arrays(pa.array(full.ravel()), dim, mask=pa.array(~present))
