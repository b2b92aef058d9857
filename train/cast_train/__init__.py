# SPDX-License-Identifier: Apache-2.0
"""The half of cast_ros that learns: data, models, losses, training, export; never needed on a robot.

What ``__all__`` names is the promise to programs that embed it; everything else may change without notice.
"""

from __future__ import annotations

from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cast_train.data import Sample, open_dataset
    from cast_train.engine.evaluate import evaluate
    from cast_train.engine.trained import load_student
    from cast_train.export.run import export_run
    from cast_train.methods.registry import open_recipe

__all__ = ['Sample', 'evaluate', 'export_run', 'load_student', 'open_dataset', 'open_recipe']
_PLACES = {
    'Sample': 'cast_train.data',
    'evaluate': 'cast_train.engine.evaluate',
    'export_run': 'cast_train.export.run',
    'load_student': 'cast_train.engine.trained',
    'open_dataset': 'cast_train.data',
    'open_recipe': 'cast_train.methods.registry',
}


def __getattr__(name: str) -> Any:
    """Import what is asked for: the package alone must not wait for torch."""
    if name not in _PLACES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(resolve_name(_PLACES[name]), name)


def __dir__() -> list[str]:
    return __all__
