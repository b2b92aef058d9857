# SPDX-License-Identifier: Apache-2.0
"""Which changes of a recipe a run that goes on may have."""

from __future__ import annotations

from typing import Any

import pytest

from cast_train.engine.run_state import changed_keys

RECIPE: dict[str, Any] = {
    'name': 'one',
    'version': '1.0.0',
    'license': 'MIT',
    'seed': 1,
    'data': {'dataset': 'streets', 'root': 'a', 'in_memory': True},
    'run': {'checkpoint_every': 10},
    'learned_from': 'streets train day',
}


@pytest.mark.parametrize(
    ('changes', 'named'),
    [
        ({'run': {'checkpoint_every': 20}}, []),
        ({'learned_from': None}, []),
        ({'name': 'other', 'version': '1.0.1', 'license': 'Apache-2.0'}, []),
        ({'data': {'dataset': 'streets', 'root': 'b', 'in_memory': False}}, []),
        ({'data': {'dataset': 'camvid', 'root': 'a', 'in_memory': True}}, ['data']),
        ({'seed': 2, 'student': {'size': 'nano'}}, ['seed', 'student']),
    ],
)
def test_only_what_decides_a_weight_must_stay(changes: dict[str, Any], named: list[str]) -> None:
    assert changed_keys(RECIPE, {**RECIPE, **changes}) == named
