"""What can be said of a stage's model before anything is computed."""

import tempfile
from pathlib import Path
from typing import Any

from pairmill.errors import StageBroken
from pairmill.models.adapters import adapted
from pairmill.models.damaged import damaged_weights
from pairmill.models.files import (
    ADAPTER,
    GGUF,
    checkpoint_dtype,
    checkpoint_folder,
    has_weights,
    is_folder,
    missing_weights,
    quantisation,
    read_json,
)
from pairmill.models.load import Incomplete, Spec, auto_class, load_processor, whole
from pairmill.models.outline import outlined
from pairmill.models.quantised import BY_NAMES, ON_A_GPU, check_quantised, gpu_note
from pairmill.models.vocabulary import check_vocabulary


def check_clip(stage: str, spec: Spec) -> list[str]:
    """Raises StageBroken for what would fail at load; says what will load the model, and where."""
    from pairmill.models.open_clip_towers import check_open_clip, is_open_clip
    from pairmill.models.tower_kinds import check_towers

    if is_open_clip(spec):
        check_open_clip(stage, spec)
        return [f"{spec.model}: open_clip; {place(spec, {})}"]
    folder = described(stage, spec)
    check_towers(stage, spec)
    auto = auto_class(stage, folder, spec, ["AutoModel"])
    processor = load_processor(stage, folder, spec, "AutoProcessor")
    check_sees(stage, spec, processor)
    return check_weights(stage, spec, folder, auto, processor)


def check_match(stage: str, spec: Spec) -> list[str]:
    """As `check_clip`, of an image–text matching head."""
    from pairmill.models.matching import HEADS

    folder = described(stage, spec)
    head = auto_class(stage, folder, spec, HEADS)
    processor = load_processor(stage, folder, spec, "AutoProcessor")
    check_sees(stage, spec, processor)
    return check_weights(stage, spec, folder, head, processor)


def described(stage: str, spec: Spec, by_transformers: bool = True) -> str:
    """The folder with the files that describe the model; raises StageBroken naming the stage.

    `by_transformers`: whether that loads the weights, so that it has to know how they are
    quantised.
    """
    try:
        folder = checkpoint_folder(
            spec.model, spec.revision, weights=False, code=spec.trust_remote_code
        )
        if is_folder(spec.model):
            check_local(spec, folder)
        config = read_json(folder, "config.json")
    except StageBroken as error:
        raise StageBroken(f"stage {stage!r}: {error}") from None
    if not config:
        if is_folder(spec.model) and missing_weights(folder) == GGUF:
            raise StageBroken(f"stage {stage!r}: model {spec.model!r}: {GGUF}")
        base = read_json(folder, ADAPTER[0]).get("base_model_name_or_path")
        own = f": it is an adapter; name it in `adapter`, and {base!r} in `model`" if base else ""
        raise StageBroken(f"stage {stage!r}: model {spec.model!r} has no config.json{own}")
    if by_transformers:
        if read_json(folder, ADAPTER[0]):
            raise StageBroken(
                f"stage {stage!r}: model {spec.model!r} holds a model of its own and an adapter "
                f"({ADAPTER[0]}), and which of them is meant cannot be told: it would hang on "
                "whether `peft` is installed; name the adapter in `adapter`, and a folder without "
                f"{ADAPTER[0]} in `model`"
            )
        check_quantised(stage, spec, config)
    return folder


POINTER = b"version https://git-lfs"


def check_local(spec: Spec, folder: str) -> None:
    """Raises StageBroken for a folder with files that Git LFS has not fetched, or with a
    revision.
    """
    if spec.revision is not None:
        raise StageBroken(
            f"`revision` is for models of the hub; the folder {spec.model!r} is taken as it is"
        )
    for file in sorted(Path(folder).iterdir()):
        if file.is_file() and file.stat().st_size < 1024:
            with file.open("rb") as lines:
                if lines.read(len(POINTER)) == POINTER:
                    raise StageBroken(
                        f"{file} is a pointer of Git LFS, not the file; run `git lfs pull` there"
                    )


def check_sees(stage: str, spec: Spec, processor: Any) -> None:
    """Raises StageBroken where the checkpoint's processor takes no images: a tokenizer alone never
    does, a processor of trusted code may without saying so.
    """
    words_alone = hasattr(processor, "convert_tokens_to_ids")
    if not hasattr(processor, "image_processor") and (words_alone or not spec.trust_remote_code):
        raise StageBroken(
            f"stage {stage!r}: model {spec.model!r} has no processor for images: neither "
            "preprocessor_config.json nor processor_config.json gives one"
        )


def check_weights(stage: str, spec: Spec, folder: str, auto: Any, processor: Any) -> list[str]:
    """Looks whether the weights are whole, by their names and shapes alone; those of a hub model
    before they are fetched.
    """
    config = read_json(folder, "config.json")
    check_whole_folder(stage, spec, folder)
    if has_weights(folder):
        kind = kind_of(stage, spec, folder, auto, processor)
    else:
        kind = kind_on_hub(stage, spec, folder, auto, processor)
    return [
        f"{spec.model}: {kind} with {type(processor).__name__}; {place(spec, config)}",
        *gpu_note(spec, config),
        *(
            ["runs code of the checkpoint's own (trust_remote_code)"]
            if spec.trust_remote_code
            else []
        ),
    ]


def check_whole_folder(stage: str, spec: Spec, folder: str) -> None:
    """Raises StageBroken where a folder on this machine lacks weights, or has damaged ones."""
    if is_folder(spec.model) and not has_weights(folder):
        raise StageBroken(
            f"stage {stage!r}: the folder {spec.model!r} has no whole weights: "
            f"{missing_weights(folder)}"
        )
    if has_weights(folder) and (fault := damaged_weights(folder)):
        raise StageBroken(f"stage {stage!r}: model {spec.model!r}: {fault}")


def kind_of(stage: str, spec: Spec, folder: str, auto: Any, processor: Any) -> str:
    """The class that the weights fill; raises StageBroken where they do not fill it.

    Quantised weights are looked at where transformers can do so without their numbers.
    """
    options = {**dict(spec.options), "device_map": "meta", "dtype": "auto"}
    method = quantisation(read_json(folder, "config.json"))
    try:
        model = whole(stage, auto, folder, spec, options)
    except Incomplete:
        if method is None or method in BY_NAMES:
            raise
        return str(auto.__name__)
    except StageBroken as error:
        lacking = isinstance(error.__cause__, ImportError) and method not in ON_A_GPU
        if method is None or lacking:
            raise
        return str(auto.__name__)
    check_vocabulary(stage, spec, model.config, getattr(processor, "tokenizer", processor))
    kind = type(model).__name__
    if spec.adapter and method is None:
        adapted(stage, model, spec)
    return kind


def kind_on_hub(stage: str, spec: Spec, folder: str, auto: Any, processor: Any) -> str:
    """As `kind_of`, of weights that are still on the hub, as far as it tells their names."""
    with tempfile.TemporaryDirectory() as scratch:
        size = outlined(spec.model, spec.revision, folder, Path(scratch))
        if size is None:
            return f"{auto.__name__}, its weights yet to be fetched"
        kind = kind_of(stage, spec, scratch, auto, processor)
    return f"{kind}, its weights ({size / 1e9:.3g} GB) yet to be fetched"


def place(spec: Spec, config: dict[str, Any]) -> str:
    """Device and precision in words, as far as this machine can tell."""
    import torch

    here = torch.cuda.is_available()
    device: str = spec.device if spec.device != "auto" else ("cuda" if here else "cpu")
    words = device
    if spec.device == "cuda" and not here:
        words += " (this machine has none: a worker's must)"
    if quantisation(config):
        return f"{words}, quantised ({quantisation(config)})"
    if spec.dtype != "auto":
        return f"{words}, {spec.dtype}"
    if device == "cuda":
        return f"{words}, {checkpoint_dtype(config)}"
    return f"{words}, float32 or bfloat16: what is the faster there"
