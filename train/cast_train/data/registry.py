# SPDX-License-Identifier: Apache-2.0
"""The data sets a recipe may name: a closed table."""

from __future__ import annotations

from pathlib import Path

from cast_train.data.camvid import CamVid
from cast_train.data.sample import Dataset
from cast_train.data.streets import Streets
from cast_train.errors import DataError

DATASETS: dict[str, type[Streets] | type[CamVid]] = {'streets': Streets, 'camvid': CamVid}


def open_dataset(name: str, root: Path, split: str, domain: str) -> Dataset:
    """Open one split and domain of a data set.

    Raises:
        DataError: the name is unknown, or the tree is not as the loader expects.
    """
    if name not in DATASETS:
        raise DataError(f'unknown data set {name!r}; known are {", ".join(sorted(DATASETS))}')
    if not root.is_dir():
        raise DataError(f'{root}: no such folder; point the recipe at the data with --set data.root=FOLDER')
    return DATASETS[name](root, split, domain)
