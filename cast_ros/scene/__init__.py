# SPDX-License-Identifier: Apache-2.0
"""From maps to space: instances and points in metres, in the optical frame of the camera (REP 103: x right, y down)."""

from cast_ros.scene.objects import LocatedObject, locate_instances, nearest_of_each_class
from cast_ros.scene.pinhole import Pinhole
from cast_ros.scene.points import POINT, point_cloud

__all__ = ['POINT', 'LocatedObject', 'Pinhole', 'locate_instances', 'nearest_of_each_class', 'point_cloud']
