# SPDX-License-Identifier: Apache-2.0
"""Class names as prompts of a grounded detector, and its token scores as class scores.

A grounded detector answers with one score for each token of its prompt. Reading the tokens above a threshold back as
text gives partial phrases (``traffic`` of a traffic sign, or of a traffic light?) and phrases of two classes run
together. Here every phrase knows its tokens from the start, and a phrase is judged by all of them together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from cast_train.errors import TeacherError

# Other words for a class, asked beside its name; only where a detector trained on captions may know them better.
SYNONYMS: dict[str, tuple[str, ...]] = {
    'person': ('pedestrian',),
    'rider': ('bicyclist', 'motorcyclist'),
    'motorcycle': ('motorbike',),
    'train': ('tram',),
    'bicyclist': ('cyclist',),
    'ashcan': ('trash can',),
    'buffet': ('sideboard',),
    'chest of drawers': ('dresser',),
    'computer': ('desktop computer',),
    'crt screen': ('monitor',),
    'hood': ('range hood',),
    'minibike': ('motorbike',),
    'plaything': ('toy',),
    'pot': ('flowerpot',),
    'sconce': ('wall lamp',),
    'signboard': ('sign',),
    'streetlight': ('street lamp',),
    'television receiver': ('television',),
    'windowpane': ('window',),
}
# The detector ends a phrase at these, so none may hold one.
DELIMITERS = ('.', '?')
DELIMITER = '.'


class Tokenizer(Protocol):
    """What is needed of a BERT tokenizer."""

    unk_token_id: int | None
    cls_token_id: int | None
    sep_token_id: int | None

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """Token ids of a text."""


@dataclass(frozen=True)
class Phrase:
    """One way to say a class; its tokens are ``first`` to ``last`` (exclusive) of the prompt."""

    class_id: int
    text: str
    first: int
    last: int


@dataclass(frozen=True)
class Prompt:
    """``[CLS] person . traffic sign . [SEP]`` as token ids, and where its phrases stand."""

    input_ids: tuple[int, ...]
    phrases: tuple[Phrase, ...]

    def positive_map(self, class_ids: Tensor) -> Tensor:
        """(M,) class ids as M×T float rows, 1 at each token that says the class."""
        rows = torch.zeros(len(class_ids), len(self.input_ids))
        for phrase in self.phrases:
            rows[(class_ids == phrase.class_id).cpu(), phrase.first : phrase.last] = 1
        return rows.to(class_ids.device)


def phrases_of(names: Mapping[int, str], synonyms: Mapping[str, Sequence[str]]) -> dict[int, tuple[str, ...]]:
    """Return the phrases that stand for each class: its name, then other words for it.

    Args:
        names: class id to name; ``traffic_sign`` is asked as ``traffic sign``, ``a, b`` as two phrases.
        synonyms: class name to the words that replace those of ``SYNONYMS``; an empty list leaves the bare name.

    Raises:
        TeacherError: a synonym of no class, two classes with one phrase, or a phrase that holds a delimiter.
    """
    own = {identity: _plain(name).split(',') for identity, name in names.items()}
    by_name = {_plain(name): identity for identity, name in names.items()}
    unknown = sorted(name for name in synonyms if _plain(name) not in by_name)
    if unknown:
        raise TeacherError(f'synonyms of {unknown[0]!r}: no such class; the classes are {", ".join(sorted(by_name))}')
    chosen = {_plain(name): words for name, words in synonyms.items()}
    claimed: dict[str, int] = {}
    phrases: dict[int, tuple[str, ...]] = {}
    for identity, name in names.items():
        phrases[identity] = tuple(_checked(word) for word in (*own[identity], *chosen.get(_plain(name), ())))
        for phrase in phrases[identity]:
            if claimed.setdefault(phrase, identity) != identity:
                raise TeacherError(
                    f'the phrase {phrase!r} stands for {names[claimed[phrase]]} and for {name}; '
                    'a detection could not be told apart, so give it to one of them in synonyms'
                )
    for identity, name in names.items():
        if _plain(name) in chosen:
            continue
        # What another class says already is left to it: a list of classes decides how fine its words are.
        free = [word for word in SYNONYMS.get(_plain(name), ()) if claimed.setdefault(word, identity) == identity]
        phrases[identity] = (*phrases[identity], *free)
    return {identity: tuple(dict.fromkeys(words)) for identity, words in phrases.items()}


def make_prompts(
    names: Mapping[int, str], synonyms: Mapping[str, Sequence[str]], tokenizer: Tokenizer, max_tokens: int
) -> list[Prompt]:
    """Return as many prompts as it takes to ask for every class; the phrases of one class stay together.

    Args:
        names: class id to name, at least one.
        synonyms: see ``phrases_of``.
        tokenizer: of the detector.
        max_tokens: longest prompt that the detector reads, [CLS] and [SEP] included.

    Raises:
        TeacherError: no classes, a phrase that the tokenizer cannot say, or a class that fits into no prompt.
    """
    if not names:
        raise TeacherError('no class of things to ask for; a grounded detector needs at least one')
    prompts: list[Prompt] = []
    waiting: list[tuple[int, str, list[int]]] = []
    used = 2
    for identity, texts in phrases_of(names, synonyms).items():
        pieces = [(identity, text, _tokens(text, tokenizer)) for text in texts]
        length = sum(len(tokens) + 1 for _, _, tokens in pieces)
        if length + 2 > max_tokens:
            raise TeacherError(f'{names[identity]}: its phrases need {length} tokens, the detector reads {max_tokens}')
        if used + length > max_tokens:
            prompts.append(_join(waiting, tokenizer))
            waiting, used = [], 2
        waiting += pieces
        used += length
    return [*prompts, _join(waiting, tokenizer)]


def class_scores(probabilities: Tensor, prompt: Prompt, text_threshold: float) -> tuple[Tensor, Tensor]:
    """Return the best score, and its class id, of each of Q detections.

    A phrase scores the mean over its tokens, as in MM-Grounding-DINO, so that one shared word does not win for two
    classes; a class scores as its best phrase.

    Args:
        probabilities: Q×T in 0…1, T at least the length of the prompt.
        prompt: that was asked.
        text_threshold: a phrase with a token below it scores 0.
    """
    columns = []
    for phrase in prompt.phrases:
        tokens = probabilities[:, phrase.first : phrase.last]
        columns.append(tokens.mean(1) * (tokens.amin(1) >= text_threshold))
    scores, best = torch.stack(columns, 1).max(1)
    class_ids = torch.tensor([phrase.class_id for phrase in prompt.phrases], device=best.device)
    return scores, class_ids[best]


def _plain(name: str) -> str:
    """A class name in the words of a caption."""
    return ','.join(' '.join(part.lower().replace('_', ' ').split()) for part in name.split(',') if part.strip())


def _checked(word: str) -> str:
    plain = ' '.join(word.lower().split())
    if not plain or any(mark in plain for mark in DELIMITERS):
        raise TeacherError(
            f'the phrase {word!r} is empty or holds one of {" ".join(DELIMITERS)}; name it in other words'
        )
    return plain


def _tokens(text: str, tokenizer: Tokenizer) -> list[int]:
    tokens = tokenizer.encode(text, add_special_tokens=False)
    if not tokens or tokenizer.unk_token_id in tokens:
        raise TeacherError(f'the phrase {text!r} has words that the detector cannot read; name it in other words')
    return tokens


def _join(pieces: Sequence[tuple[int, str, list[int]]], tokenizer: Tokenizer) -> Prompt:
    """BERT splits at blanks and marks, so the tokens of the parts are the tokens of the whole text."""
    end, first, last = _tokens(DELIMITER, tokenizer), tokenizer.cls_token_id, tokenizer.sep_token_id
    if first is None or last is None:
        raise TeacherError(
            'the tokenizer of the detector has no [CLS] and [SEP]; use the one that came with its weights'
        )
    ids = [first]
    phrases = []
    for identity, text, tokens in pieces:
        phrases.append(Phrase(identity, text, len(ids), len(ids) + len(tokens)))
        ids += [*tokens, *end]
    return Prompt((*ids, last), tuple(phrases))
