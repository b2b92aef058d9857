# SPDX-License-Identifier: Apache-2.0
"""Dark Zurich: real drives by day, in twilight and at night; labels, with Cityscapes' 19 classes, for val at night.

rgb_anon/SPLIT/DOMAIN/DRIVE/STEM_rgb_anon.png       gt/val/night/DRIVE/STEM_gt_labelIds.png (uint8)
"""

from __future__ import annotations

from pathlib import Path

from cast_train.data.drives import Drives

DOMAINS = ('day', 'twilight', 'night')
TREE = 'the root must hold rgb_anon/SPLIT/DOMAIN/DRIVE/ and, for labels, gt/ likewise (see docs/data.md)'


class DarkZurich(Drives):
    """Pictures of one split, of one time of day or of all.

    Args:
        root: folder that holds ``rgb_anon`` and, for labels, ``gt``.
        split: ``train``, ``val``, ``test``, or ``val_ref`` and ``test_ref`` for the reference pictures by day.
        domain: ``day``, ``twilight`` or ``night``; empty for all that are there.

    Raises:
        DataError: a folder or file is missing, has the wrong shape, or holds an unknown label.
    """

    def __init__(self, root: Path, split: str, domain: str = '') -> None:
        super().__init__('dark_zurich', root, {name: f'{split}/{name}' for name in DOMAINS}, domain, TREE)
