# SPDX-License-Identifier: Apache-2.0
"""From class names to prompts, and from token scores back to classes."""

from __future__ import annotations

import pytest
import torch
from tiny_grounded_sam2 import tiny_tokenizer
from transformers import BertTokenizer

from cast_train.errors import TeacherError
from cast_train.teachers.prompts import Prompt, class_scores, make_prompts, phrases_of


@pytest.fixture(scope='module')
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> BertTokenizer:
    return tiny_tokenizer(tmp_path_factory.mktemp('tokenizer'))


def words(prompt: Prompt, tokenizer: BertTokenizer) -> dict[str, tuple[int, list[str]]]:
    """Each phrase: its class, and the tokens where the prompt says it stands."""
    return {
        phrase.text: (
            phrase.class_id,
            tokenizer.convert_ids_to_tokens(list(prompt.input_ids[phrase.first : phrase.last])),
        )
        for phrase in prompt.phrases
    }


def test_a_prompt_is_what_the_tokenizer_makes_of_its_text(tokenizer: BertTokenizer) -> None:
    names = {3: 'traffic_sign', 7: 'Car', 9: 'traffic light'}
    (prompt,) = make_prompts(names, {}, tokenizer, 64)
    assert list(prompt.input_ids) == tokenizer('traffic sign . car . traffic light .')['input_ids']
    assert words(prompt, tokenizer) == {
        'traffic sign': (3, ['traffic', 'sign']),
        'car': (7, ['car']),
        'traffic light': (9, ['traffic', 'light']),
    }


def test_words_of_many_tokens_keep_together(tokenizer: BertTokenizer) -> None:
    (prompt,) = make_prompts({0: 'kart'}, {}, tokenizer, 64)
    assert words(prompt, tokenizer) == {'kart': (0, ['k', '##a', '##r', '##t'])}


def test_synonyms_of_a_class_point_to_it(tokenizer: BertTokenizer) -> None:
    (prompt,) = make_prompts({24: 'person', 26: 'car'}, {}, tokenizer, 64)
    assert {text: identity for text, (identity, _) in words(prompt, tokenizer).items()} == {
        'person': 24,
        'pedestrian': 24,
        'car': 26,
    }


def test_users_may_replace_synonyms() -> None:
    assert phrases_of({0: 'person', 1: 'car'}, {'person': ('Man', 'person'), 'car': ()}) == {
        0: ('person', 'man'),
        1: ('car',),
    }
    assert phrases_of({0: 'traffic_sign'}, {'traffic sign': ['road sign']}) == {0: ('traffic sign', 'road sign')}


def test_names_with_commas_are_several_phrases() -> None:
    assert phrases_of({0: 'television receiver, television set'}, {}) == {0: ('television receiver', 'television set')}


def test_a_class_keeps_its_own_name_from_being_anothers_synonym() -> None:
    assert phrases_of({0: 'person', 1: 'pedestrian'}, {}) == {0: ('person',), 1: ('pedestrian',)}
    # Both know the word; the first class has it.
    assert phrases_of({0: 'motorcycle', 1: 'minibike'}, {}) == {0: ('motorcycle', 'motorbike'), 1: ('minibike',)}


@pytest.mark.parametrize(
    ('names', 'synonyms', 'message'),
    [
        ({0: 'person', 1: 'car'}, {'car': ('person',)}, "'person' stands for person and for car"),
        ({0: 'person'}, {'persn': ('man',)}, "'persn': no such class; the classes are person"),
        ({0: 'person'}, {'person': ('mr. smith',)}, "'mr. smith' is empty or holds one of"),
        ({0: 'person'}, {'person': (' ',)}, 'is empty'),
        ({0: 'who?'}, {}, 'in other words'),
    ],
)
def test_phrases_that_cannot_be_told_apart_are_refused(
    names: dict[int, str], synonyms: dict[str, tuple[str, ...]], message: str
) -> None:
    with pytest.raises(TeacherError, match=message):
        phrases_of(names, synonyms)


def test_words_that_the_detector_cannot_read_are_refused(tokenizer: BertTokenizer) -> None:
    with pytest.raises(TeacherError, match="'машина' has words that the detector cannot read"):
        make_prompts({0: 'машина'}, {}, tokenizer, 64)
    with pytest.raises(TeacherError, match='no class of things'):
        make_prompts({}, {}, tokenizer, 64)


def test_long_lists_of_classes_become_several_prompts(tokenizer: BertTokenizer) -> None:
    names = dict(enumerate(['person', 'rider', 'car', 'truck', 'bus', 'traffic sign']))
    prompts = make_prompts(names, dict.fromkeys(names.values(), ()), tokenizer, 8)
    assert [[phrase.class_id for phrase in prompt.phrases] for prompt in prompts] == [[0, 1, 2], [3, 4], [5]]
    assert all(len(prompt.input_ids) <= 8 for prompt in prompts)
    with pytest.raises(TeacherError, match='need 11 tokens, the detector reads 8'):
        make_prompts({0: 'abcdefghij'}, {}, tokenizer, 8)


def test_a_shared_word_does_not_decide_between_classes(tokenizer: BertTokenizer) -> None:
    (prompt,) = make_prompts({5: 'traffic sign', 6: 'traffic light'}, {}, tokenizer, 64)
    #                 [CLS] traffic sign  .  traffic light  .  [SEP]  padding
    rows = torch.tensor(
        [
            [0.99, 0.9, 0.1, 0.9, 0.6, 0.6, 0.9, 0.9, 0.99],
            [0.99, 0.5, 0.9, 0.9, 0.9, 0.1, 0.9, 0.9, 0.99],
        ]
    )
    scores, class_ids = class_scores(rows, prompt, 0.0)
    assert class_ids.tolist() == [6, 5]
    assert scores.tolist() == pytest.approx([0.6, 0.7])


def test_a_phrase_half_seen_can_be_refused(tokenizer: BertTokenizer) -> None:
    (prompt,) = make_prompts({5: 'traffic sign', 6: 'car'}, {}, tokenizer, 64)
    rows = torch.tensor([[0.0, 0.9, 0.2, 0.0, 0.3, 0.0, 0.0]])
    assert [part.tolist() for part in class_scores(rows, prompt, 0.0)] == [pytest.approx([0.55]), [5]]
    assert [part.tolist() for part in class_scores(rows, prompt, 0.25)] == [pytest.approx([0.3]), [6]]


def test_the_best_phrase_of_a_class_speaks_for_it(tokenizer: BertTokenizer) -> None:
    (prompt,) = make_prompts({1: 'person', 2: 'car'}, {}, tokenizer, 64)
    rows = torch.tensor([[0.0, 0.1, 0.0, 0.8, 0.0, 0.5, 0.0, 0.0]])
    assert [part.tolist() for part in class_scores(rows, prompt, 0.0)] == [pytest.approx([0.8]), [1]]


def test_targets_light_every_phrase_of_their_class(tokenizer: BertTokenizer) -> None:
    (prompt,) = make_prompts({1: 'person', 4: 'traffic sign'}, {}, tokenizer, 64)
    assert prompt.positive_map(torch.tensor([4, 1, 9])).tolist() == [
        [0, 0, 0, 0, 0, 1, 1, 0, 0],
        [0, 1, 0, 1, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 0],
    ]
