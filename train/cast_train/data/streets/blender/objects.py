# SPDX-License-Identifier: Apache-2.0
"""Meshes, lamps and the camera as Blender objects."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import bmesh
import bpy
from mathutils import Vector

from cast_train.data.streets.scene import Blob, Camera, Cylinder, Polyhedron, SceneObject, Spot

BEVEL_SEGMENTS = 2
CLIP_END_M = 500


def make_object(description: SceneObject, materials: list[Any]) -> Any:
    """Create an object and put it into the scene; its pass index is the number of its thing."""
    if isinstance(description, Spot):
        return make_spot(description)
    mesh = _MAKERS[type(description)](description)
    mesh.materials.append(materials[description.material])
    made = bpy.data.objects.new('o', mesh)
    bpy.context.scene.collection.objects.link(made)
    made.pass_index = description.thing
    if isinstance(description, Polyhedron) and description.bevel_m:
        bevel = made.modifiers.new('b', 'BEVEL')
        bevel.width, bevel.segments = description.bevel_m, BEVEL_SEGMENTS
    return made


def make_spot(description: Spot) -> Any:
    """Create a lamp and put it into the scene."""
    lamp = bpy.data.lights.new('s', 'SPOT')
    lamp.energy, lamp.spot_blend = description.power_w, description.blend
    lamp.spot_size = math.radians(description.angle_deg)
    lamp.color, lamp.shadow_soft_size = description.color, description.radius_m
    made = bpy.data.objects.new('s', lamp)
    made.location = description.position
    direction = Vector(description.target) - Vector(description.position)
    made.rotation_euler = direction.to_track_quat('-Z', 'Y').to_euler()
    bpy.context.scene.collection.objects.link(made)
    return made


def make_camera(description: Camera) -> Any:
    """Create the camera, put it into the scene and look through it."""
    lens = bpy.data.cameras.new('c')
    lens.sensor_fit, lens.clip_end = 'HORIZONTAL', CLIP_END_M
    lens.angle = description.horizontal_angle_rad
    made = bpy.data.objects.new('c', lens)
    made.location = description.position
    made.rotation_euler = (description.pitch_rad, 0, description.yaw_rad)
    bpy.context.scene.collection.objects.link(made)
    bpy.context.scene.camera = made
    return made


def _polyhedron(description: Polyhedron) -> Any:
    mesh = bpy.data.meshes.new('m')
    mesh.from_pydata(description.vertices, [], description.faces)
    return mesh


def _cylinder(description: Cylinder) -> Any:
    start, end, sides = Vector(description.start), Vector(description.end), description.sides
    turn = (end - start).to_track_quat('Z', 'Y')
    vertices = []
    for center, radius in ((start, description.start_radius_m), (end, description.end_radius_m)):
        for i in range(sides):
            angle = 2 * math.pi * i / sides
            offset = Vector((radius * math.cos(angle), radius * math.sin(angle), 0))
            vertices.append(tuple(center + turn @ offset))
    faces = [(i, (i + 1) % sides, sides + (i + 1) % sides, sides + i) for i in range(sides)]
    caps = [tuple(range(sides))[::-1], tuple(range(sides, 2 * sides))]
    mesh = bpy.data.meshes.new('m')
    mesh.from_pydata(vertices, [], [*faces, *caps])
    return mesh


def _blob(description: Blob) -> Any:
    shape = bmesh.new()
    bmesh.ops.create_icosphere(shape, subdivisions=description.subdivisions, radius=1)
    (x, y, z), (a, b, c) = description.center, description.scale
    for vertex, radius in zip(shape.verts, description.radii_m, strict=True):
        at = vertex.co
        vertex.co = Vector((x + at.x * radius * a, y + at.y * radius * b, z + at.z * radius * c))
    mesh = bpy.data.meshes.new('b')
    shape.to_mesh(mesh)
    shape.free()
    if description.smooth:
        mesh.polygons.foreach_set('use_smooth', [True] * len(mesh.polygons))
    return mesh


_MAKERS: dict[type, Callable[[Any], Any]] = {Polyhedron: _polyhedron, Cylinder: _cylinder, Blob: _blob}
