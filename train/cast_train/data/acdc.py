# SPDX-License-Identifier: Apache-2.0
"""ACDC: real drives through fog, night, rain and snow, with Cityscapes' 19 classes.

rgb_anon/DOMAIN/SPLIT/DRIVE/STEM_rgb_anon.png           gt/DOMAIN/SPLIT/DRIVE/STEM_gt_labelIds.png (uint8)
rgb_anon/DOMAIN/SPLIT_ref/DRIVE/STEM_rgb_ref_anon.png   the same places in clear daylight, without labels
"""

from __future__ import annotations

from pathlib import Path

from cast_train.data.drives import Drives

DOMAINS = ('fog', 'night', 'rain', 'snow')
TREE = 'the root must hold rgb_anon/DOMAIN/SPLIT/DRIVE/ and, for labels, gt/ likewise (see docs/data.md)'


class Acdc(Drives):
    """Pictures of one split, of one condition or of all.

    Args:
        root: folder that holds ``rgb_anon`` and, for labels, ``gt``.
        split: ``train``, ``val``, ``test``, or ``train_ref`` and so on for the reference pictures.
        domain: ``fog``, ``night``, ``rain`` or ``snow``; empty for all that are there. A reference picture counts to
            the condition it is the reference of.

    Raises:
        DataError: a folder or file is missing, has the wrong shape, or holds an unknown label.
    """

    def __init__(self, root: Path, split: str, domain: str = '') -> None:
        super().__init__('acdc', root, {name: f'{name}/{split}' for name in DOMAINS}, domain, TREE)
