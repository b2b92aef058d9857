# SPDX-License-Identifier: Apache-2.0
"""Materials and sky as Blender node graphs."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np

from cast_train.data.streets.scene import SURFACES, Color, Facade, Material, Sky

DARK_PANE, LIGHT_PANE = (0.02, 0.03, 0.05, 1), (0.12, 0.16, 0.22, 1)
NOISE_DETAIL = 8


def make_material(description: Material, night: bool) -> Any:
    """Create a material; its pass index tells its class in the rendered label pass."""
    material = bpy.data.materials.new(description.surface)
    material.use_nodes = True
    material.pass_index = SURFACES.index(description.surface)
    tree = material.node_tree
    surface = tree.nodes['Principled BSDF']
    surface.inputs['Base Color'].default_value = (*description.color, 1)
    surface.inputs['Roughness'].default_value = description.roughness
    surface.inputs['Metallic'].default_value = description.metallic
    if description.coat:
        surface.inputs['Coat Weight'].default_value = description.coat
    if description.emission:
        surface.inputs['Emission Color'].default_value = (*description.emission, 1)
        surface.inputs['Emission Strength'].default_value = description.emission_strength
    if description.noise_scale:
        _vary_color(tree, surface, description.color, description.noise_scale)
    if description.facade:
        _add_windows(tree, surface, description.facade, description.color, night)
    return material


def make_world(sky: Sky) -> Any:
    """Create the light from above."""
    world = bpy.data.worlds.new('w')
    world.use_nodes = True
    background = world.node_tree.nodes['Background']
    if sky.color is not None:
        background.inputs['Color'].default_value = (*sky.color, 1)
    else:
        texture = world.node_tree.nodes.new('ShaderNodeTexSky')
        texture.sun_elevation, texture.sun_rotation = sky.sun_elevation_rad, sky.sun_azimuth_rad
        texture.sun_disc = sky.sun_disc
        world.node_tree.links.new(texture.outputs[0], background.inputs[0])
    background.inputs['Strength'].default_value = sky.strength
    return world


def _vary_color(tree: Any, surface: Any, color: Color, scale: float) -> None:
    noise = tree.nodes.new('ShaderNodeTexNoise')
    noise.inputs['Scale'].default_value = scale
    noise.inputs['Detail'].default_value = NOISE_DETAIL
    ramp = tree.nodes.new('ShaderNodeValToRGB')
    middle = np.array(color)
    ramp.color_ramp.elements[0].color = (*(middle * 0.6), 1)
    ramp.color_ramp.elements[1].color = (*np.minimum(middle * 1.4, 1), 1)
    position = tree.nodes.new('ShaderNodeNewGeometry')
    tree.links.new(position.outputs['Position'], noise.inputs['Vector'])
    tree.links.new(noise.outputs['Fac'], ramp.inputs['Fac'])
    tree.links.new(ramp.outputs['Color'], surface.inputs['Base Color'])


def _add_windows(tree: Any, surface: Any, facade: Facade, wall: Color, night: bool) -> None:
    brick = tree.nodes.new('ShaderNodeTexBrick')
    brick.offset = 0.0
    for name, value in (
        ('Scale', 1.0),
        ('Brick Width', facade.window_width_m),
        ('Row Height', facade.floor_height_m),
        ('Mortar Size', facade.wall_width_m),
        ('Mortar Smooth', 0),
        ('Color1', DARK_PANE),
        ('Color2', LIGHT_PANE),
        ('Mortar', (*wall, 1)),
    ):
        brick.inputs[name].default_value = value
    _map_along_wall(tree, brick)
    tree.links.new(brick.outputs['Color'], surface.inputs['Base Color'])
    if night:
        _light_windows(tree, surface, brick, facade)


def _map_along_wall(tree: Any, brick: Any) -> None:
    """Texture coordinates (x + y, z): walls stand along x or along y, so the sum runs along both kinds."""
    position = tree.nodes.new('ShaderNodeNewGeometry')
    split = tree.nodes.new('ShaderNodeSeparateXYZ')
    along = tree.nodes.new('ShaderNodeMath')
    joined = tree.nodes.new('ShaderNodeCombineXYZ')
    for source, target in (
        (position.outputs['Position'], split.inputs[0]),
        (split.outputs[0], along.inputs[0]),
        (split.outputs[1], along.inputs[1]),
        (along.outputs[0], joined.inputs[0]),
        (split.outputs[2], joined.inputs[1]),
        (joined.outputs[0], brick.inputs['Vector']),
    ):
        tree.links.new(source, target)


def _light_windows(tree: Any, surface: Any, brick: Any, facade: Facade) -> None:
    """Let the panes shine that are brighter than ``lit_from``: strength × pane × (is bright)."""
    grey = tree.nodes.new('ShaderNodeRGBToBW')
    bright, pane, both, power = (tree.nodes.new('ShaderNodeMath') for _ in range(4))
    bright.operation, bright.inputs[1].default_value = 'GREATER_THAN', facade.lit_from
    pane.operation, pane.inputs[0].default_value = 'SUBTRACT', 1
    both.operation = 'MULTIPLY'
    power.operation, power.inputs[1].default_value = 'MULTIPLY', facade.lit_strength
    for source, target in (
        (brick.outputs['Color'], grey.inputs[0]),
        (grey.outputs[0], bright.inputs[0]),
        (brick.outputs['Fac'], pane.inputs[1]),
        (bright.outputs[0], both.inputs[0]),
        (pane.outputs[0], both.inputs[1]),
        (both.outputs[0], power.inputs[0]),
    ):
        tree.links.new(source, target)
    surface.inputs['Emission Color'].default_value = (*facade.lit_color, 1)
    tree.links.new(power.outputs[0], surface.inputs['Emission Strength'])
