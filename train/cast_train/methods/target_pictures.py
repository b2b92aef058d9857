# SPDX-License-Identifier: Apache-2.0
"""The target's pictures as an adaptation may see them: without a label of their own, with what teachers say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import overload

from cast_train.data import Sample
from cast_train.teachers.cache import LabelCache
from cast_train.teachers.labelling import read_label


class TargetPictures(Sequence[Sample]):
    """Samples without their labels, with a teacher's segments, depth or disparity, put together when asked for.

    Args:
        samples: of the target.
        caches: of each teacher, which has labelled all of them.

    Raises:
        TeacherError: on access: a teacher's answer is missing or damaged.
    """

    def __init__(self, samples: Sequence[Sample], caches: Sequence[LabelCache]) -> None:
        self._samples, self._caches = samples, tuple(caches)

    def __len__(self) -> int:
        return len(self._samples)

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> TargetPictures: ...

    def __getitem__(self, index: int | slice) -> Sample | TargetPictures:
        if isinstance(index, slice):
            return TargetPictures(self._samples[index], self._caches)
        sample = replace(
            self._samples[index],
            instance_ids=None,
            instance_labels=None,
            instance_is_crowd=None,
            semantic=None,
            depth_m=None,
        )
        for cache in self._caches:
            sample = _with_answer(sample, cache)
        return sample


def _with_answer(sample: Sample, cache: LabelCache) -> Sample:
    answer = read_label(cache, sample)
    if answer.segments is not None:
        return replace(sample, segments=answer.segments)
    return replace(sample, depth_m=answer.depth_m, disparity=answer.disparity)
