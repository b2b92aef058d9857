# SPDX-License-Identifier: Apache-2.0
"""Instance masks, a semantic map and metric depth from one small network, for ROS 2.

What ``__all__`` names is the promise to programs that embed this package; everything else may change without notice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cast_ros.errors import CastError
    from cast_ros.student import LoadOptions, Prediction, Student, StudentContract

__version__ = '0.1.0'
__all__ = ['CastError', 'LoadOptions', 'Prediction', 'Student', 'StudentContract', '__version__']


def __getattr__(name: str) -> Any:
    """Import what is asked for: a command's help must not wait for OpenCV."""
    if name not in __all__:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from cast_ros import errors, student

    return getattr(errors if name == 'CastError' else student, name)


def __dir__() -> list[str]:
    return __all__
