# SPDX-License-Identifier: Apache-2.0
"""Pictures for people: what the network saw, drawn over what the camera saw."""

from cast_ros.overlay.drawing import draw_overlay
from cast_ros.overlay.palette import colorize_depth, instance_colors
from cast_ros.overlay.sheet import contact_sheet

__all__ = ['colorize_depth', 'contact_sheet', 'draw_overlay', 'instance_colors']
