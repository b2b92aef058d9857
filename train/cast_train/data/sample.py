# SPDX-License-Identifier: Apache-2.0
"""One training picture with whatever labels it has."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Protocol, overload

import numpy as np
import numpy.typing as npt

from cast_ros.student import ClassInfo
from cast_train.data.segments import Segments


@dataclass(frozen=True, eq=False)
class Sample:
    """A picture and its labels; a label that a data set lacks is None, and every loss leaves it out.

    Attributes:
        name: unique within its data set.
        image: H×W×3 uint8 RGB.
        instance_ids: H×W uint16, 0 none, k belongs to ``instance_labels[k-1]``; the same form as ``Prediction``.
        instance_labels: (N,) int64 class ids of things.
        instance_is_crowd: (N,) bool, rows of a group that nobody separated: neither learned nor counted as missed.
        semantic: H×W uint8 class ids, 255 unlabelled.
        depth_m: H×W float32 metres along the optical axis; NaN unknown, +Inf sky.
        fx_px: focal length in pixels of this picture.
        domain: for example ``day``.
        disparity: H×W float32, inverse depth of unknown scale and shift, as relative depth networks give it; NaN
            unknown.
        segments: class-agnostic masks that a teacher found.
        union_ids: H×W uint8, 0 none, k: the class is one of ``unions[k-1]`` and nobody said which; ``semantic`` is 255
            there.
        unions: class ids, for each k. They mean nothing without ``union_ids``.
        groups: those of the unions whose classes the data set never tells apart: in judging a class map they are one.
        complete: class ids of the things of which every object has its row; objects of other things may be there
            without one, and what has no row is unknown and not background. None for all things: full labels.
    """

    name: str
    image: npt.NDArray[np.uint8]
    instance_ids: npt.NDArray[np.uint16] | None = None
    instance_labels: npt.NDArray[np.int64] | None = None
    instance_is_crowd: npt.NDArray[np.bool_] | None = None
    semantic: npt.NDArray[np.uint8] | None = None
    depth_m: npt.NDArray[np.float32] | None = None
    fx_px: float | None = None
    domain: str = ''
    disparity: npt.NDArray[np.float32] | None = None
    segments: Segments | None = None
    union_ids: npt.NDArray[np.uint8] | None = None
    unions: tuple[tuple[int, ...], ...] = ()
    groups: tuple[tuple[int, ...], ...] = ()
    complete: tuple[int, ...] | None = None


class Dataset(Protocol):
    """What training and evaluation need of a data set."""

    @property
    def classes(self) -> tuple[ClassInfo, ...]:
        """Classes in the order of their ids."""

    @property
    def names(self) -> Sequence[str]:
        """Name of each picture, as in its sample; known without reading it."""

    @property
    def scenes(self) -> Sequence[str]:
        """Scene of each picture; a split must never divide one."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...


class LazySamples(Sequence[Sample]):
    """The pictures of several data sets, decoded anew each time: for what does not fit in memory.

    Travels to the workers of a loader, which then do the decoding. A slice or a subset is lazy as well.

    Args:
        datasets: one after the other.
        indices: which of their pictures, counted through all data sets; None for all.
    """

    def __init__(self, datasets: Sequence[Dataset], indices: Sequence[int] | None = None) -> None:
        self._datasets = tuple(datasets)
        self._starts = tuple(accumulate((len(dataset) for dataset in self._datasets), initial=0))
        self._indices: Sequence[int] = range(self._starts[-1]) if indices is None else tuple(indices)

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> LazySamples: ...

    def __getitem__(self, index: int | slice) -> Sample | LazySamples:
        if isinstance(index, slice):
            return LazySamples(self._datasets, self._indices[index])
        place = self._indices[index]
        owner = bisect_right(self._starts, place) - 1
        return self._datasets[owner][place - self._starts[owner]]

    def followed_by(self, others: LazySamples) -> LazySamples:
        """These, and then those."""
        offset = self._starts[-1]
        indices = [*self._indices, *(offset + index for index in others._indices)]
        return LazySamples([*self._datasets, *others._datasets], indices)

    def subset(self, indices: Sequence[int]) -> LazySamples:
        """Only these pictures, counted through this sequence."""
        return LazySamples(self._datasets, [self._indices[index] for index in indices])


class Changed(Sequence[Sample]):
    """Samples as something makes them of others, made when they are asked for; a slice is lazy as well.

    Args:
        samples: of which they are made.
        change: makes one; must be picklable, for the workers of a loader.
    """

    def __init__(self, samples: Sequence[Sample], change: Callable[[Sample], Sample]) -> None:
        self._samples, self._change = samples, change

    def __len__(self) -> int:
        return len(self._samples)

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> Changed: ...

    def __getitem__(self, index: int | slice) -> Sample | Changed:
        found = self._samples[index]
        return self._change(found) if isinstance(found, Sample) else Changed(found, self._change)


def keep_instances(sample: Sample, kept: npt.NDArray[np.bool_]) -> Sample:
    """Drop the rows of instances where ``kept`` (N,) is false, and number the others anew without gaps."""
    assert sample.instance_ids is not None
    assert sample.instance_labels is not None
    # Row 0 is no object; a row that goes becomes 0.
    rows = np.concatenate([[0], np.where(kept, np.cumsum(kept), 0)]).astype(np.uint16)
    crowd = sample.instance_is_crowd
    return replace(
        sample,
        instance_ids=rows[sample.instance_ids],
        instance_labels=sample.instance_labels[kept],
        instance_is_crowd=None if crowd is None else crowd[kept],
    )


def joined(first: Sequence[Sample], second: Sequence[Sample]) -> Sequence[Sample]:
    """One after the other; lazy if both are."""
    if isinstance(first, LazySamples) and isinstance(second, LazySamples):
        return first.followed_by(second)
    return [*first, *second]


def subset_of(samples: Sequence[Sample], indices: Sequence[int]) -> Sequence[Sample]:
    """Some of the samples; lazy if they are."""
    return samples.subset(indices) if isinstance(samples, LazySamples) else [samples[index] for index in indices]
