"""Where stages are found: the built-in ones, entry points of other packages, and `module:Class`."""

import difflib
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from pairmill.extensions import BadExtension, imported

if TYPE_CHECKING:
    from pairmill.stages.base import Stage

BUILT_IN = {
    "download": "pairmill.stages.download.stage:DownloadStage",
    "text_rules": "pairmill.filters.text_rules:TextRulesStage",
    "language": "pairmill.filters.language:LanguageStage",
    "resolution": "pairmill.filters.resolution:ResolutionStage",
    "clip": "pairmill.filters.clip:ClipStage",
    "late_interaction": "pairmill.filters.late_interaction:LateInteractionStage",
    "match": "pairmill.filters.match:MatchStage",
    "embed": "pairmill.filters.embed:EmbedStage",
    "classify": "pairmill.filters.classify:ClassifyStage",
    "concepts": "pairmill.filters.concepts:ConceptsStage",
    "cld3": "pairmill.filters.cld3:Cld3Stage",
    "nearest": "pairmill.filters.nearest:NearestStage",
    "text_stats": "pairmill.filters.text_stats:TextStatsStage",
    "text_area": "pairmill.filters.text_area:TextAreaStage",
    "faces": "pairmill.filters.faces:FacesStage",
    "image_rules": "pairmill.filters.image_rules:ImageRulesStage",
    "perplexity": "pairmill.filters.perplexity:PerplexityStage",
    "filter": "pairmill.filters.gate:FilterStage",
    "derive": "pairmill.filters.derive:DeriveStage",
    "sample": "pairmill.filters.sample:SampleStage",
    "tiles": "pairmill.stages.tiles:TilesStage",
    "sentences": "pairmill.stages.sentences:SentencesStage",
    "image_hash": "pairmill.filters.image_hash:ImageHashStage",
    "dedup": "pairmill.stages.dedup.stage:DedupStage",
    "near_dedup": "pairmill.stages.dedup.stage:NearDedupStage",
    "select": "pairmill.stages.select.stage:SelectStage",
    "retrieve": "pairmill.stages.select.retrieve:RetrieveStage",
    "balance": "pairmill.stages.select.balance:BalanceStage",
    "mix": "pairmill.stages.select.mix:MixStage",
    "rare_words": "pairmill.filters.rare_words:RareWordsStage",
    "noise": "pairmill.stages.select.noise:NoiseStage",
    "agreement": "pairmill.stages.select.agreement:AgreementStage",
    "second_opinion": "pairmill.stages.select.second_opinion:SecondOpinionStage",
    "neighbours": "pairmill.stages.select.neighbours:NeighboursStage",
    "related": "pairmill.stages.select.related:RelatedStage",
    "minimal_pair": "pairmill.stages.select.minimal_pair:MinimalPairStage",
    "caption": "pairmill.stages.caption:CaptionStage",
    "rewrite": "pairmill.stages.caption:RewriteStage",
    "translate": "pairmill.stages.translate:TranslateStage",
    "judge": "pairmill.stages.caption:JudgeStage",
    "blind": "pairmill.stages.blind:BlindStage",
    "caption_checks": "pairmill.filters.caption_checks.stage:CaptionChecksStage",
    "caption_templates": "pairmill.stages.caption_templates:CaptionTemplatesStage",
    "shorten": "pairmill.filters.shorten:ShortenStage",
    "best_of": "pairmill.filters.best_of:BestOfStage",
    "self_consistency": "pairmill.filters.self_consistency:SelfConsistencyStage",
}


ELSEWHERE = {
    "aesthetic": "classify", "aesthetics": "classify", "nsfw": "classify", "watermark": "classify",
    "quality": "classify", "minhash": "dedup` with `kind: text", "phash": "image_hash",
    "simhash": "dedup` with `kind: text", "semdedup": "dedup` with `kind: semantic",
    "deduplicate": "dedup", "deduplication": "dedup", "recaption": "caption",
    "image_captioning": "caption", "lang_id": "language", "langid": "language",
    "language_id": "language", "clip_score": "clip", "clipscore": "clip", "siglip": "clip",
    "embedding": "embed", "embeddings": "embed", "img2dataset": "download", "shuffle": "sample",
    "topk": "select", "top_k": "select", "blur": "image_rules", "size": "resolution",
    "image_size": "resolution", "aspect_ratio": "resolution", "text_length": "text_rules",
    "words": "text_rules", "itm": "match", "llm_judge": "judge", "paraphrase": "rewrite",
    "knn": "neighbours", "hard_negatives": "neighbours", "join": "related",
    "ocr": "text_area", "text_detection": "text_area", "face_blur": "faces", "search": "retrieve",
}  # fmt: skip
"""What stages are called elsewhere, and which does the same here."""


class UnknownStage(LookupError):
    """No stage of this name, or it cannot be imported; the message says what would be right."""


def known_stages() -> list[str]:
    """Names of built-in stages and of entry points in the group `pairmill.stages`."""
    return [*BUILT_IN, *sorted(e.name for e in entry_points(group="pairmill.stages"))]


def stage_class(stage_type: str) -> "type[Stage]":
    """The class behind `stage:`; raises UnknownStage."""
    from pairmill.stages.base import Stage

    target = BUILT_IN.get(stage_type)
    if target is None and ":" in stage_type:
        target = stage_type
    if target is None:
        for entry in entry_points(group="pairmill.stages"):
            if entry.name == stage_type:
                target = entry.value
    if target is None:
        near = difflib.get_close_matches(stage_type, known_stages(), 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        if same := ELSEWHERE.get(stage_type.lower().removesuffix("_filter")):
            hint = f"; write `stage: {same}`"
        raise UnknownStage(
            f"unknown stage {stage_type!r}{hint} (stages: {', '.join(known_stages())}; "
            "or my_module:MyStage)"
        )
    try:
        return imported(target, Stage, f"stage {stage_type!r}")
    except BadExtension as error:
        raise UnknownStage(str(error)) from None
