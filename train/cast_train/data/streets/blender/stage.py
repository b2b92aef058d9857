# SPDX-License-Identifier: Apache-2.0
"""A scene set up in Blender: moved frame by frame, rendered with Cycles on the CPU."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import cv2
import numpy as np
import numpy.typing as npt
import OpenEXR

from cast_train.data.streets.blender.objects import make_camera, make_object, make_spot
from cast_train.data.streets.blender.shaders import make_material, make_world
from cast_train.data.streets.quality import Quality
from cast_train.data.streets.scene import Scene
from cast_train.data.streets.views import RenderedFrame


@dataclass(frozen=True)
class Passes:
    """What Cycles gives for a frame; every array is H×W.

    Attributes:
        bgr: the tone-mapped picture, H×W×3 uint8.
        surface: index into ``SURFACES``.
        thing: number of the thing, 0 for stuff.
        depth_m: metres along the optical axis; huge where there is only sky.
    """

    bgr: npt.NDArray[np.uint8]
    surface: npt.NDArray[np.int64]
    thing: npt.NDArray[np.int64]
    depth_m: npt.NDArray[np.float32]


class RenderedStage:
    """The one scene of this process; making another RenderedStage clears it."""

    def __init__(self, scene: Scene, quality: Quality) -> None:
        bpy.ops.wm.read_factory_settings(use_empty=True)
        materials = [make_material(material, scene.night) for material in scene.materials]
        self._movers: list[tuple[Any, float]] = []
        for description in scene.objects:
            made = make_object(description, materials)
            if description.thing:
                self._movers.append((made, scene.speeds_mps[description.thing - 1]))
        self._ego = [make_camera(scene.camera), *(make_spot(lamp) for lamp in scene.headlights)]
        bpy.context.scene.world = make_world(scene.sky)
        _configure(quality, scene.exposure)

    def advance(self, frame: RenderedFrame) -> None:
        """Move camera and traffic from the frame before to this one."""
        for metres in frame.moves_m:
            for item in self._ego:
                item.location.y += metres
        if frame.traffic_s:
            for item, speed_mps in self._movers:
                item.location.y += speed_mps * frame.traffic_s

    def render(self, scratch: Path) -> Passes:
        """Render the current view; ``scratch`` is a folder for Blender's own files."""
        settings = bpy.context.scene.render.image_settings
        settings.media_type = 'MULTI_LAYER_IMAGE'
        settings.file_format, settings.color_depth = 'OPEN_EXR_MULTILAYER', '32'
        layers, picture = scratch / 'frame.exr', scratch / 'frame.png'
        bpy.context.scene.render.filepath = str(layers)
        bpy.ops.render.render(write_still=True)
        settings.media_type = 'IMAGE'
        settings.file_format, settings.color_depth, settings.color_mode = 'PNG', '8', 'RGB'
        bpy.data.images['Render Result'].save_render(str(picture))
        channels = {
            name: np.array(channel.pixels)
            for part in OpenEXR.File(str(layers), separate_channels=True).parts
            for name, channel in part.channels.items()
        }
        return Passes(
            np.asarray(cv2.imread(str(picture)), np.uint8),
            _channel(channels, 'Material Index').astype(np.int64),
            _channel(channels, 'Object Index').astype(np.int64),
            _channel(channels, 'Depth'),
        )


def _channel(channels: dict[str, Any], name: str) -> Any:
    return next(pixels for key, pixels in channels.items() if name in key)


def _configure(quality: Quality, exposure: float) -> None:
    scene = bpy.context.scene
    render, cycles = scene.render, scene.cycles
    render.engine, render.resolution_percentage = 'CYCLES', 100
    render.resolution_x, render.resolution_y = quality.width_px, quality.height_px
    cycles.device, cycles.samples, cycles.use_adaptive_sampling = 'CPU', quality.samples, True
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces, cycles.transmission_bounces = 3, 2, 2, 1
    cycles.caustics_reflective = cycles.caustics_refractive = False
    cycles.sample_clamp_indirect, cycles.use_denoising, cycles.denoiser = 3, True, 'OPENIMAGEDENOISE'
    render.threads_mode, render.threads, render.use_persistent_data = 'FIXED', quality.threads, True
    layer = bpy.context.view_layer
    layer.use_pass_z = layer.use_pass_object_index = layer.use_pass_material_index = True
    scene.view_settings.view_transform = 'AgX'
    scene.view_settings.exposure = exposure
