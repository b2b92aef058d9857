# SPDX-License-Identifier: Apache-2.0
"""Learning from several data sets at once: what each one's labels mean, and how often each is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from cast_train.data.sample import Dataset, Sample, keep_instances
from cast_train.errors import DataError


class Stated:
    """A data set about whose labels a recipe says more than its files do.

    Args:
        dataset: any, with the classes that are learned.
        complete: names of the things of which every object is labelled, see ``Sample.complete``; None leaves what the
            loader says. A picture without instances has none complete, whatever is named.
        crop_bottom: share of the height that is cut off below, by the beginning of a picture's name: the longest that
            fits counts. For a car's own bonnet, which no label calls one.

    Raises:
        DataError: a name in ``complete`` is no thing, or a share in ``crop_bottom`` leaves nothing.
    """

    def __init__(
        self, dataset: Dataset, complete: Sequence[str] | None = None, crop_bottom: Mapping[str, float] | None = None
    ) -> None:
        things = {entry.name: entry.id for entry in dataset.classes if entry.is_thing}
        unknown = [name for name in complete or () if name not in things]
        if unknown:
            raise DataError(
                f'complete names {unknown[0]!r}, which is no thing; things are {", ".join(things) or "none"}'
            )
        for prefix, share in (crop_bottom or {}).items():
            if not 0 <= share < 1:
                raise DataError(
                    f'crop_bottom of {prefix!r} is {share:g}; it is a share of the height, from 0 to below 1'
                )
        self.classes = dataset.classes
        self._dataset = dataset
        self._complete = None if complete is None else tuple(sorted(things[name] for name in complete))
        self._crop_bottom = sorted((crop_bottom or {}).items(), key=lambda item: -len(item[0]))

    @property
    def names(self) -> Sequence[str]:
        """Those of the data set."""
        return self._dataset.names

    @property
    def scenes(self) -> Sequence[str]:
        """Those of the data set."""
        return self._dataset.scenes

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Sample:
        sample = self._dataset[index]
        if self._complete is not None:
            sample = replace(sample, complete=() if sample.instance_ids is None else self._complete)
        share = next((share for prefix, share in self._crop_bottom if sample.name.startswith(prefix)), 0.0)
        return _without_bottom(sample, share) if share else sample


def _without_bottom(sample: Sample, share: float) -> Sample:
    rows = max(1, round(sample.image.shape[0] * (1 - share)))
    maps = {
        name: array[:rows]
        for name in ('instance_ids', 'semantic', 'depth_m', 'disparity', 'union_ids')
        if (array := getattr(sample, name)) is not None
    }
    cut: Sample = replace(sample, image=sample.image[:rows], **maps)
    if cut.instance_ids is None or cut.instance_labels is None:
        return cut
    return keep_instances(cut, np.isin(np.arange(1, len(cut.instance_labels) + 1), cut.instance_ids))


def mixed_chances(counts: Sequence[int], weights: Sequence[float]) -> npt.NDArray[np.float64]:
    """The chance of each sample, one source after the other, when a source is drawn by its weight and a sample evenly.

    Args:
        counts: samples of each source; one without any is never drawn.
        weights: of each source, in any unit.

    Raises:
        DataError: no source can be drawn.
    """
    shares = np.where(np.array(counts) > 0, weights, 0.0)
    if not shares.sum() > 0:
        raise DataError('no source has both pictures and a weight over 0; give one a weight')
    shares = shares / shares.sum()
    return np.concatenate([np.full(count, share / max(count, 1)) for count, share in zip(counts, shares, strict=True)])
