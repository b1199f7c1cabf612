"""Batches of chats for the demo's captioner, and the words whose numbers decide its losses."""

import torch

from pairmill.demo.scenes import held_out
from pairmill.demo.words import COLOURS, KINDS, PLURALS

UNSEEN = torch.tensor([[held_out(kind, colour) for colour in COLOURS] for kind in KINDS])
"""(kinds, colours): pairs that no training picture shows."""


class Words:
    """Token ids of kinds and colours, each of which is one token, and what a captioner's loss does
    with them.
    """

    def __init__(self, tokenizer) -> None:
        kinds = [(k, i) for i, kind in enumerate(KINDS) for k in {kind, PLURALS[kind]}]
        self.kind_of = self.numbers(tokenizer, kinds)
        self.colour_of = self.numbers(tokenizer, [(c, i) for i, c in enumerate(COLOURS)])
        self.colours = torch.nonzero(self.colour_of >= 0).flatten()
        none = torch.zeros(
            1, len(self.kind_of), dtype=torch.bool
        )  # the last row, found by number -1
        self.not_with_colour = torch.cat([UNSEEN.T[:, self.kind_of] & (self.kind_of >= 0), none])
        self.not_with_kind = torch.cat([UNSEEN[:, self.colour_of] & (self.colour_of >= 0), none])

    @staticmethod
    def numbers(tokenizer, words: list[tuple[str, int]]) -> torch.Tensor:
        found = torch.full((len(tokenizer),), -1)
        for word, number in words:
            (token,) = tokenizer(f" {word}")["input_ids"]
            found[token] = number
        return found

    def unseen(self, labels: torch.Tensor) -> torch.Tensor:
        """(batch, tokens - 1, vocabulary): words that training never shows beside the colour before
        or the kind behind.
        """
        colour = torch.where(labels < 0, -1, self.colour_of[labels.clamp(min=0)])
        kind = torch.where(labels < 0, -1, self.kind_of[labels.clamp(min=0)])
        behind = torch.cat([kind[:, 2:], torch.full((len(kind), 1), -1)], dim=1)
        return self.not_with_colour[colour[:, :-1]] | self.not_with_kind[behind]

    def slipped(
        self, ids: torch.Tensor, labels: torch.Tensor, grey: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs and labels in which some of the answer's colours, as the model reads them back,
        are others by chance.

        What it has to say next stays the same: the kind of a thing is learnt from the picture, not
        from the colour before it.  Of grey pictures no colour is asked.
        """
        colours = torch.isin(ids, self.colours) & (labels != -100)
        hit = colours & ((torch.rand(ids.shape) < 0.3) | grey[:, None])
        other = self.colours[torch.randint(len(self.colours), ids.shape)]
        return torch.where(hit, other, ids), torch.where(colours & grey[:, None], -100, labels)


def chat_batch(processor, pairs: list[tuple[str, str]], image: bool):
    """Right-padded token batch; labels are -100 outside the answers."""
    tokenizer = processor.tokenizer
    prompts, answers = [], []
    for prompt, answer in pairs:
        content = [{"type": "image"}] * image + [{"type": "text", "text": prompt}]
        text = processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True
        )
        text = text.replace("<image>", "<image>" * model_image_tokens(processor))
        prompts.append(tokenizer(text, add_special_tokens=False)["input_ids"])
        answers.append(
            tokenizer(" " + answer, add_special_tokens=False)["input_ids"]
            + [tokenizer.eos_token_id]
        )
    longest = max(len(p) + len(a) for p, a in zip(prompts, answers, strict=True))
    ids = torch.full((len(pairs), longest), tokenizer.pad_token_id)
    labels = torch.full((len(pairs), longest), -100)
    mask = torch.zeros((len(pairs), longest), dtype=torch.long)
    for i, (p, a) in enumerate(zip(prompts, answers, strict=True)):
        ids[i, : len(p) + len(a)] = torch.tensor(p + a)
        labels[i, len(p) : len(p) + len(a)] = torch.tensor(a)
        mask[i, : len(p) + len(a)] = 1
    return {"input_ids": ids, "attention_mask": mask}, labels


def model_image_tokens(processor) -> int:
    side = processor.image_processor.size["height"] // processor.patch_size
    return side * side
