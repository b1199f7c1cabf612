"""Loading a checkpoint: whole or not at all, in a precision that is told."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pairmill.errors import StageBroken
from pairmill.models.adapters import adapted
from pairmill.models.damaged import reason_of
from pairmill.models.files import checkpoint_dtype, checkpoint_folder, quantisation, read_json
from pairmill.models.kinds import ANSWERING, OTHERWISE, check_kind
from pairmill.models.library import transformers
from pairmill.models.loaded_model import LoadedModel
from pairmill.models.mended import mended
from pairmill.models.needs import needs
from pairmill.models.once import once
from pairmill.models.quantised import leave_out_parts
from pairmill.models.vocabulary import check_vocabulary, check_words
from pairmill.torch_device import (
    FASTER,
    Device,
    Precision,
    is_out_of_memory,
    limit_threads,
    pick_device,
    pick_dtype,
    remembered,
    seconds_of,
    streams,
)

SHOWN = 5
"""Names of weights in a message."""


@dataclass(frozen=True)
class Spec:
    """What is loaded, and where: stages with equal specs share one model in a process."""

    model: str
    revision: str | None = None
    adapter: str | None = None
    """Folder or hub id of a LoRA adapter (`peft`)."""
    adapter_revision: str | None = None
    trust_remote_code: bool = False
    device: Device = "auto"
    dtype: Precision = "auto"
    device_map: str | None = None
    """`auto` places the tensors over all GPUs of the worker."""
    attention: str | None = None
    """Which of transformers' attention kernels; None: what it takes."""
    image_processor: str | None = None
    """`torchvision` or `pil`; None: what transformers takes."""
    compiled: bool = False
    """The layers' kernels are made for this model (`torch.compile`)."""
    pooling: str | None = None
    """How an encoder of pictures alone makes one vector; None: as its family does."""
    options: tuple[tuple[str, Any], ...] = ()
    """Further keywords of `from_pretrained`."""
    cpus: float = 1.0


class Incomplete(StageBroken):
    """A checkpoint that lacks weights of its model, or has them in a wrong shape."""


Probe = Callable[[Any, Any, str, Any], Callable[[], Any]]
"""(model, processor, device, dtype) → a small piece of the work, for measuring."""


def load(
    stage: str, spec: Spec, classes: Sequence[str], processor: str, probe: Probe
) -> LoadedModel:
    """The checkpoint by the first class that knows it, once a process; raises StageBroken."""
    folder = checkpoint_folder(spec.model, spec.revision, code=spec.trust_remote_code)
    auto = auto_class(stage, folder, spec, classes)
    key = (spec, auto.__name__, processor)
    return once(key, lambda: loaded(stage, spec, folder, auto, processor, probe))


def loaded(stage: str, spec: Spec, folder: str, auto: Any, kind: str, probe: Probe) -> LoadedModel:
    """The model and its processor; `auto` is the checkpoint's precision, on a CPU the faster."""
    limit_threads(spec.cpus)
    device = pick_device(spec.device, stage)
    config = read_json(folder, "config.json")
    processor = load_processor(stage, folder, spec, kind)
    options: dict[str, Any] = dict(spec.options)
    if spec.attention:
        options["attn_implementation"] = spec.attention
    if spec.device_map:
        needs(stage, "accelerate", "`device_map`")
        options["device_map"] = spec.device_map
    quantised = quantisation(config)
    if quantised and device == "cuda" and not spec.device_map:
        needs(stage, "accelerate", f"a checkpoint quantised by {quantised} on a GPU")
        options["device_map"] = {"": "cuda"}  # `to` may not move such weights

    def weights(dtype: Any) -> Any:
        model = whole(stage, auto, folder, spec, {**options, "dtype": dtype})
        check_vocabulary(stage, spec, model.config, getattr(processor, "tokenizer", processor))
        if spec.adapter:
            model = with_adapter(adapted(stage, model, spec))
        model = mended(model)
        if not (spec.device_map or quantised):
            model = guarded(stage, spec, lambda: model.to(device))
        return model.eval()

    if quantised:
        model = weights("auto")
    elif spec.dtype != "auto":
        model = weights(pick_dtype(spec.dtype))
    elif device == "cuda":
        model = weights(pick_dtype(checkpoint_dtype(config)))
    else:
        model = measured(spec, weights, processor, probe)
    dtype = getattr(model, "dtype", None)
    device = str(getattr(model, "device", device)).split(":")[0]
    precision = str(dtype).removeprefix("torch.")
    if quantised and getattr(model.config, "quantization_config", None) is None:
        precision += f", from weights quantised by {quantised}"  # as here no kernels take them
    elif quantised:
        precision = f"quantised ({quantised})"
    several = device == "cpu" and not spec.trust_remote_code
    at_once = streams(spec.cpus) if several else 1
    twins = several and not (quantised or spec.device_map)
    return LoadedModel(model, processor, device, dtype, f"{device} {precision}", at_once, twins)


def with_adapter(model: Any) -> Any:
    """The model with its adapter in its weights; beside them where these are quantised, since the
    sum, rounded once more, would be another than the adapter was trained to make.
    """
    if getattr(model.config, "quantization_config", None) is None:
        return model.merge_and_unload()
    return model.base_model.model


def measured(spec: Spec, weights: Callable[[Any], Any], processor: Any, probe: Probe) -> Any:
    """On a CPU: the model in float32, or in bfloat16 where that is clearly faster here."""
    import torch

    found: dict[str, Any] = {}

    def measure() -> str:
        model = weights(torch.float32)
        full = seconds_of(probe(model, processor, "cpu", torch.float32))
        model = model.to(torch.bfloat16)
        half = seconds_of(probe(model, processor, "cpu", torch.bfloat16))
        if half * FASTER < full:
            found["model"] = model
            return "bfloat16"
        return "float32"

    what = {"model": spec.model, "revision": spec.revision, "threads": torch.get_num_threads()}
    dtype = remembered(what, measure)
    return found.get("model") or weights(pick_dtype(dtype))


def auto_class(stage: str, folder: str, spec: Spec, classes: Sequence[str]) -> Any:
    """The first of transformers' (auto) classes that knows the checkpoint's type."""
    config = load_config(stage, folder, spec)
    check_kind(stage, spec, config, classes)
    own = (getattr(config, "auto_map", None) or {}) if spec.trust_remote_code else {}
    for name in classes:
        auto = getattr(transformers(), name, None)
        if auto is None:
            continue
        if name in own or serves(auto, config):
            return auto
    if any(name in classes for name in ANSWERING) and ANSWERING[1] in own:
        return transformers().AutoModelForCausalLM  # as code of their own has it that sees, too
    more = f"; {OTHERWISE}" if own and any(name in classes for name in ANSWERING) else ""
    raise StageBroken(
        f"stage {stage!r}: model {spec.model!r} is of type {config.model_type!r} "
        f"({', '.join(config.architectures or ['no architecture named'])}), which none of "
        f"{', '.join(classes)} loads{more}"
    )


def serves(auto: Any, config: Any) -> bool:
    """Whether an auto class, or a model's class itself, loads checkpoints of a config's type."""
    known = getattr(auto, "_model_mapping", None)
    if auto.__name__ == "AutoModelForSeq2SeqLM" and not getattr(config, "is_encoder_decoder", 0):
        return False
    return type(config) is auto.config_class if known is None else type(config) in known


def load_config(stage: str, folder: str, spec: Spec) -> Any:
    """The checkpoint's config from local files; raises StageBroken where none can be read."""
    return guarded(
        stage,
        spec,
        lambda: transformers().AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=spec.trust_remote_code
        ),
    )


def load_processor(stage: str, folder: str, spec: Spec, kind: str) -> Any:
    """`AutoProcessor`, `AutoImageProcessor` or `AutoTokenizer`, from local files alone."""
    options: dict[str, Any] = {}
    if spec.image_processor and kind != "AutoTokenizer":
        options["backend"] = spec.image_processor
    found = guarded(
        stage,
        spec,
        lambda: getattr(transformers(), kind).from_pretrained(
            folder, local_files_only=True, trust_remote_code=spec.trust_remote_code, **options
        ),
    )
    tokenizer = getattr(found, "tokenizer", found)
    if not spec.trust_remote_code:
        check_words(stage, spec, tokenizer)
    if tokenizer is found and getattr(found, "chat_template", "") is None:
        # transformers reads this file for processors alone
        found.chat_template = read_json(folder, "chat_template.json").get("chat_template")
    return found


def guarded(stage: str, spec: Spec, work: Callable[[], Any], folder: str | None = None) -> Any:
    """What `work` gives; what it raises is told as StageBroken, with what to install or allow.
    `folder`: where its weights are.
    """
    try:
        return work()
    except StageBroken:
        raise
    except Exception as error:  # a library's own classes, and custom code: anything
        reason = reason_of(error, folder)
        if is_out_of_memory(error):
            reason = (
                f"its weights do not fit the device's memory ({reason}); take a smaller `dtype` or "
                "model, a quantised checkpoint, or `device_map: auto` over several GPUs"
            )
        if "trust_remote_code" in str(error) or "custom code" in str(error):
            reason = (
                "the checkpoint brings code of its own; read it, and set `trust_remote_code: true` "
                "if it may run here"
            )
        raise StageBroken(
            f"stage {stage!r}: model {spec.model!r} does not load: {reason}"
        ) from error


def whole(stage: str, auto: Any, folder: str, spec: Spec, given: dict[str, Any]) -> Any:
    """The model with all its weights; raises Incomplete where some are missing or do not fit."""

    options = dict(given)
    if quantisation(read_json(folder, "config.json")) == "awq" and not spec.trust_remote_code:
        options["config"] = load_config(stage, folder, spec)
        leave_out_parts(options["config"])

    def work() -> Any:
        return auto.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=spec.trust_remote_code,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            **options,
        )

    with without_load_report():
        model, facts = guarded(stage, spec, work, folder)
    missing = sorted(facts.get("missing_keys") or ())
    mismatched = sorted(str(m[0] if isinstance(m, tuple) else m) for m in facts["mismatched_keys"])
    if missing or mismatched:
        parts = [listed("has no weights for", missing), listed("has a wrong shape of", mismatched)]
        raise Incomplete(
            f"stage {stage!r}: model {spec.model!r} "
            + " and ".join(p for p in parts if p)
            + f" of {type(model).__name__}; transformers would fill them with chance. Is this the "
            "checkpoint of another class, or is its download incomplete?"
        )
    return model


class without_load_report:
    """Keeps transformers from printing tables of weights: the error says what is missing."""

    def __enter__(self) -> None:
        import logging

        self.logger = logging.getLogger("transformers")
        self.level = self.logger.level
        self.logger.setLevel(logging.CRITICAL)

    def __exit__(self, *_: object) -> None:
        self.logger.setLevel(self.level)


def listed(verb: str, names: Sequence[str]) -> str:
    """A fault and the first weights that have it, for a message; empty where none has."""
    more = f", … ({len(names)})" if len(names) > SHOWN else ""
    return f"{verb} {', '.join(names[:SHOWN])}{more}" if names else ""
