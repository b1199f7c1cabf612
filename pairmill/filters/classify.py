"""Labels and scores of rows: prompts or heads on stored embeddings, or a classifier of its own."""

import re
from collections.abc import Sequence
from itertools import chain, count
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from pairmill.errors import StageBroken
from pairmill.filters.heads import Activation, Output, read_head, softmax
from pairmill.models.load import Spec
from pairmill.models.towers import open_towers, vectors_of_texts
from pairmill.models.vectors import NOT_COMPARABLE, check_embeddings, unit, units_of
from pairmill.schemas.arrow import column, error_array
from pairmill.schemas.config import FILE, MODEL, SPEED, StageConfig
from pairmill.stages.base import Stage
from pairmill.texts.files import entries_of
from pairmill.torch_device import Device, Precision

NAMED = 64
"""Labels up to which each has a probability of its own in a column."""
Answers = tuple[np.ndarray, list[tuple[str, str] | None]]
"""Numbers, float32 (n, labels), of the rows that have some; an error for each that has none."""


class ClassifyConfig(StageConfig):
    """A label and its probability for each row, in one of four ways.

    By prompts of one's own on a stored image embedding (`embedding:`, `model:`, `prompts:`); by the
    nearest of a list of concepts (`concepts:`); by a linear or MLP head (`embedding:`, `head:`),
    LAION's aesthetic and NSFW predictors among them; or by any image or text classifier of
    `transformers` (`model:` with `image:` or `text:`).
    """

    stage: Annotated[Literal["classify"], SPEED] = "classify"
    model: Annotated[str | None, MODEL] = None
    """With `prompts` or `concepts`: the two-tower model of the embeddings.  With `image` or `text`:
    a classifier, hub id or folder.
    """
    revision: Annotated[str | None, SPEED] = None
    """Branch, tag or commit of a hub model; what it resolves to is part of the identity."""
    embedding: str | None = None
    """Column with embeddings, as `embed` writes them."""
    image: str | None = None
    """Column with encoded images, for a classifier of images."""
    text: str | None = None
    """Column with texts, for a classifier of texts."""
    prompts: dict[str, list[str]] = Field({}, max_length=10_000)
    """Label → texts that say it, such as `{photo: [a photograph], drawing: [a drawing]}`."""
    concepts: Annotated[str | None, FILE] = None
    """File with a label a line; each is put into `template`."""
    template: str = Field("a photo of {}", pattern=r"\{\}")
    """What is said of a concept; `{}` is its place."""
    scale: float | None = Field(None, gt=0)
    """What cosines are multiplied by before the softmax; the model's own if absent."""
    head: Annotated[str | None, FILE] = None
    """File with the head's layers: .safetensors, .npz, .pth."""
    labels: list[str] = Field([], max_length=10_000)
    """Labels of the head's outputs, in order."""
    activation: Activation = "auto"
    """Between layers of a head; `auto`: as a published layout has it, ReLU in others."""
    output: Output = "auto"
    """After the last layer; `auto`: as a published layout has it; softmax where there are labels.
    """
    device: Annotated[Device, SPEED] = "auto"
    """`cuda` without a GPU is an error, never a CPU run."""
    dtype: Precision = "float32"
    """Precision of the model."""

    @model_validator(mode="after")
    def one_way(self) -> "ClassifyConfig":
        given = [k for k in ("embedding", "image", "text") if getattr(self, k) is not None]
        if len(given) != 1:
            raise ValueError(f"give one of `embedding`, `image`, `text` (here: {given or 'none'})")
        ways = [k for k in ("prompts", "concepts", "head") if getattr(self, k)]
        if self.embedding is not None and len(ways) != 1:
            raise ValueError("`embedding` goes with one of `prompts`, `concepts`, `head`")
        if self.embedding is None and (ways or self.model is None):
            raise ValueError("`image` and `text` go with `model`, a classifier, and nothing else")
        if self.embedding is not None and (self.model is None) != (self.head is not None):
            raise ValueError("`prompts` and `concepts` need `model`, and a `head` needs none")
        if any(not texts for texts in self.prompts.values()):
            raise ValueError("each label of `prompts` needs a text")
        if len(names_of(list(self.prompts) or self.labels)) != len(self.prompts or self.labels):
            raise ValueError("two labels have the same name")
        return self

    def spec(self, cpus: float) -> Spec:
        """What is loaded, and where."""
        assert self.model is not None
        return Spec(self.model, self.revision, device=self.device, dtype=self.dtype,
                    cpus=self.resources.cpus or cpus)  # fmt: skip


class ClassifyStage(Stage):
    """`classify_label`, `classify_score` (its probability, or a head's single number),
    `classify_likeness` (the cosine, with prompts), and `classify_probability`, a field for each of
    up to 64 labels.
    """

    Config = ClassifyConfig
    prefix = "classify"
    actor = True
    known: list[str] | None = None

    def __init__(self, config: ClassifyConfig) -> None:
        super().__init__(config)
        if config.embedding is not None:
            self.version = 2

    def bind(self, schema: pa.Schema) -> None:
        """Checks that the column holds embeddings, where some are read."""
        if self.config.embedding is not None:
            check_embeddings(schema, self.config.embedding)

    @property
    def by_text(self) -> bool:
        """Whether labels are texts that embeddings are compared with."""
        return bool(self.config.prompts or self.config.concepts)

    def reads(self) -> list[str]:
        config = self.config
        return [config.embedding or config.image or config.text]

    def labels(self) -> list[str]:
        """All labels in order; none for a head with one number."""
        if self.known is None:
            self.known = self.find_labels()
        return self.known

    def find_labels(self) -> list[str]:
        """Labels as the prompts, the file of concepts, the head's config or the classifier's
        checkpoint name them.
        """
        config = self.config
        if config.prompts:
            return list(config.prompts)
        if config.concepts:
            return read_lines(self.name, config.concepts)
        if config.head:
            return list(config.labels)
        from pairmill.filters.classifiers import labels_of

        return labels_of(self.name, config.spec(self.cpus))

    def writes(self) -> pa.Schema:
        labels, c = self.labels(), self.column
        if not labels:
            return pa.schema([column(c("score"), pa.float32(), "what the head says", role="score")])
        fields = [
            column(c("label"), pa.string(), "most probable label"),
            column(c("score"), pa.float32(), "its probability", "", 0, 1, role="score"),
        ]
        if self.by_text:
            doc = "cosine of the embedding and the label's text"
            fields.append(column(c("likeness"), pa.float32(), doc, "", -1, 1))
        if len(labels) <= NAMED:
            kind = pa.struct([pa.field(name, pa.float32()) for name in field_names(labels)])
            fields.append(column(c("probability"), kind, "probability of each label"))
        return pa.schema(fields)

    def setup(self) -> None:
        config = self.config
        if self.by_text:
            towers = open_towers(self.name, config.spec(self.cpus))
            texts = config.prompts or {
                label: [config.template.replace("{}", label)] for label in self.labels()
            }
            self.vectors = label_vectors(towers, list(texts.values()))
            self.scale = config.scale or scale_of(towers)
            self.note = towers.note
        elif config.head:
            self.head = read_head(self.name, config.head, config.activation, self.head_output())
            self.check_outputs()
        else:
            from pairmill.filters.classifiers import Classifier

            kind: Literal["image", "text"] = "image" if config.image else "text"
            self.classifier = Classifier(self.name, config.spec(self.cpus), kind)
            self.note = self.classifier.note

    def head_output(self) -> Output:
        """What comes after a head's last layer: labels are alternatives unless the user says."""
        many = self.config.output == "auto" and len(self.config.labels) > 1
        return "softmax" if many else self.config.output

    def check_outputs(self) -> None:
        """Raises StageBroken where the head's outputs are not as many as the labels."""
        wanted = max(1, len(self.config.labels))
        if self.head.outputs != wanted:
            raise StageBroken(
                f"stage {self.name!r}: {self.config.head} answers with {self.head.outputs} "
                "numbers; "
                f"give as many `labels` (there are {len(self.config.labels)})"
            )

    def __call__(self, rows: pa.Table) -> pa.Table:
        values = rows.column(self.reads()[0])
        likeness = None
        errors: list[tuple[str, str] | None] = [None] * rows.num_rows
        if self.by_text:
            vectors, errors = self.fitting(values, self.vectors.shape[1])
            likeness = vectors @ self.vectors.T
            numbers = softmax(likeness * self.scale)
        elif self.config.head:
            vectors, errors = self.fitting(values, self.head.inputs)
            numbers = self.head(vectors)
        else:
            numbers, errors = self.classifier(values.to_pylist())
        table = self.columns_of(numbers, likeness)
        return table.append_column("error", error_array(errors))

    def fitting(
        self, values: pa.ChunkedArray, wanted: int
    ) -> tuple[np.ndarray, list[tuple[str, str] | None]]:
        """(embeddings at unit length, float32 (n, wanted), NaN where there is none; an error for
        each that is none).  Raises StageBroken where the column's are all of another length.
        """
        kind, name = values.type, self.config.embedding
        if pa.types.is_fixed_size_list(kind) and kind.list_size != wanted:
            raise StageBroken(
                f"stage {self.name!r}: the embeddings of {name!r} have {kind.list_size} numbers, "
                f"and {wanted} are wanted: is this another model?"
            )
        vectors, sound = units_of(values, wanted)
        vectors[~sound] = np.nan
        why = f"{name!r} is no vector of {wanted} finite numbers, as are wanted, not all 0"
        wrong = ~sound & np.asarray(values.is_valid())
        return vectors, [(NOT_COMPARABLE, why) if fault else None for fault in wrong]

    def columns_of(self, numbers: np.ndarray, likeness: np.ndarray | None) -> pa.Table:
        """The columns, from a number for each row and label; NaN becomes null."""
        labels = self.labels()
        if not labels:
            return pa.table([pa.array(numbers[:, 0], from_pandas=True)], schema=self.writes())
        none = ~np.isfinite(numbers).all(1)
        best = np.where(none, 0, np.nan_to_num(numbers, nan=-1).argmax(1))
        each = np.arange(len(best))
        names = np.array(labels, object)[best]
        columns: list[Any] = [
            pa.array(names, pa.string(), mask=none),
            pa.array(numbers[each, best], pa.float32(), mask=none),
        ]
        if likeness is not None:
            columns.append(pa.array(likeness[each, best], pa.float32(), mask=none))
        if len(labels) <= NAMED:
            parts = [pa.array(column, pa.float32(), from_pandas=True) for column in numbers.T]
            columns.append(pa.StructArray.from_arrays(parts, field_names(labels)))
        return pa.table(columns, schema=self.writes())


def names_of(labels: Sequence[str]) -> list[str]:
    """Names of fields: letters of any script, digits and `_`; equal ones fall together."""
    made = [re.sub(r"\W+", "_", label).strip("_").lower() or "label" for label in labels]
    return list(dict.fromkeys(f"_{name}" if name[0].isdigit() else name for name in made))


def field_names(labels: Sequence[str]) -> list[str]:
    """The same, a name for each label: of equal ones the later have a number, from 2."""
    taken: dict[str, None] = {}
    for label in labels:
        (name,) = names_of([label])
        again = (f"{name}_{number}" for number in count(2))
        taken[next(one for one in chain([name], again) if one not in taken)] = None
    return list(taken)


def read_lines(stage: str, path: str) -> list[str]:
    """The lines of a file that say something, each once; raises StageBroken where there is none."""
    try:
        lines = list(dict.fromkeys(entries_of(path)))
    except (OSError, ValueError) as error:
        raise StageBroken(f"stage {stage!r}: {path} cannot be read: {error}") from None
    if not lines:
        raise StageBroken(f"stage {stage!r}: {path} holds no line of text")
    return lines


def label_vectors(towers: Any, texts: list[list[str]]) -> np.ndarray:
    """float32 (labels, d): the mean of the unit embeddings of a label's texts, of unit length."""
    every = [text for some in texts for text in some]
    vectors, found, first = vectors_of_texts(towers, every), [], 0
    for some in texts:
        found.append(vectors[first : first + len(some)].mean(0))
        first += len(some)
    return unit(np.stack(found))


def scale_of(towers: Any) -> float:
    """What the model multiplies cosines by; 100, CLIP's, where it does not tell."""
    model = getattr(getattr(towers, "loaded", towers), "model", None)
    scale = getattr(model, "logit_scale", None)
    return float(scale.detach().float().exp()) if scale is not None else 100.0
