"""What can be said of a captioning model before anything is computed."""

from pairmill.captioners.chat import Chat
from pairmill.captioners.engine import Sampling
from pairmill.captioners.transformers_engine import READS, SEES
from pairmill.errors import StageBroken
from pairmill.models.check import check_sees, check_weights, described
from pairmill.models.files import checkpoint_folder, read_json
from pairmill.models.kinds import check_languages, check_number
from pairmill.models.load import Spec, auto_class, load_config, load_processor
from pairmill.models.needs import needs


def check_caption(
    stage: str,
    spec: Spec,
    sampling: Sampling,
    images: int,
    system: bool,
    text_first: bool = False,
    examples: bool = False,
) -> list[str]:
    """Raises StageBroken for what would fail at load, or where the model does not take this kind of
    prompt; says what will load it, and where.
    """
    folder = described(stage, spec)
    auto = auto_class(stage, folder, spec, SEES if images else READS)
    processor = load_processor(stage, folder, spec, "AutoProcessor")
    if images:
        check_sees(stage, spec, processor)
    check_number(stage, spec, load_config(stage, folder, spec).model_type, images)
    chat = Chat(stage, processor, sampling.chat_template_kwargs)
    chat.try_out(images, system, text_first, examples)
    names = ("config.json", "generation_config.json")
    check_languages(stage, spec, chat.tokenizer, *(read_json(folder, name) for name in names))
    if spec.adapter:
        needs(stage, "peft", "`adapter`")
        adapter = checkpoint_folder(spec.adapter, spec.adapter_revision, adapter=True)
        if not read_json(adapter, "adapter_config.json"):
            raise StageBroken(f"stage {stage!r}: {spec.adapter!r} has no adapter_config.json")
    if spec.device_map:
        needs(stage, "accelerate", "`device_map`")
    told = check_weights(stage, spec, folder, auto, processor)
    way = "chat template" if chat.template else "the prompt as it is, without a chat template"
    return [*told, f"asked by {way}", *filter(None, [chat.warning])]
