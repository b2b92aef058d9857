# SPDX-License-Identifier: Apache-2.0
"""Which networks of other people there are; imports none of their libraries.

Each is a class that takes height and width of its input, in a module that also names its ``OUTPUTS``.
"""

from __future__ import annotations

# Name for the exporter: module, class.
NETWORKS = {
    'yolo11n-seg': ('yolo', 'Yolo'),
    'depth-anything-v2-small': ('depth_anything', 'DepthAnything'),
    'light-depth': ('light_depth', 'FastDepth'),
    'rf-detr-seg-nano': ('rf_detr', 'RfDetr'),
    'mask2former-swin-tiny': ('mask2former', 'Mask2Former'),
    'eomt-s': ('eomt', 'Eomt'),
    'cast-dinov2-s': ('cast_dinov2', 'CastDinov2'),
}
