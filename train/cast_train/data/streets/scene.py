# SPDX-License-Identifier: Apache-2.0
"""One street scene as plain values: what stands where, made of what. Nothing here needs Blender.

Axes: x to the right of the road, y along it, z up, in metres; the camera starts near the origin and looks along y.
The order of materials and objects is part of the description, since a renderer's noise may depend on it.
"""

from __future__ import annotations

from dataclasses import dataclass

Point = tuple[float, float, float]
Color = tuple[float, float, float]

# Material pass index of each surface class; 0 is the background, so what no surface covers is sky.
SURFACES = (
    'sky',
    'road',
    'sidewalk',
    'building',
    'pole',
    'sign',
    'vegetation',
    'terrain',
    'person',
    'car',
    'truck',
)


@dataclass(frozen=True)
class Facade:
    """Windows in a wall: a brick pattern whose bricks are the windows and whose mortar is the wall. Sizes in metres."""

    window_width_m: float
    floor_height_m: float
    wall_width_m: float
    lit_from: float  # brightness of a pane above which somebody is at home
    lit_strength: float
    lit_color: Color


@dataclass(frozen=True)
class Material:
    """A surface: its class, colour (linear RGB, 0-1), gloss and light of its own."""

    surface: str
    color: Color
    roughness: float = 0.7
    metallic: float = 0.0
    emission: Color | None = None
    emission_strength: float = 0.0
    noise_scale: float = 0.0  # 0: one colour; else the scale of a noise that varies the colour by ±40 %
    coat: float = 0.0
    facade: Facade | None = None


@dataclass(frozen=True)
class Polyhedron:
    """A mesh given by its corners; ``thing`` 0 is stuff, k is the k-th thing of the scene."""

    vertices: tuple[Point, ...]
    faces: tuple[tuple[int, ...], ...]
    material: int
    thing: int = 0
    bevel_m: float = 0.0


@dataclass(frozen=True)
class Cylinder:
    """A cylinder or cone between two points, with ``sides`` sides."""

    start: Point
    end: Point
    start_radius_m: float
    end_radius_m: float
    sides: int
    material: int
    thing: int = 0


@dataclass(frozen=True)
class Blob:
    """An icosphere whose i-th vertex lies ``radii_m[i]`` from the centre, then scaled along the axes."""

    center: Point
    radii_m: tuple[float, ...]
    subdivisions: int
    scale: Point
    smooth: bool
    material: int
    thing: int = 0


@dataclass(frozen=True)
class Spot:
    """A lamp that shines from a point to another."""

    position: Point
    target: Point
    power_w: float
    angle_deg: float
    color: Color
    radius_m: float
    blend: float
    thing: int = 0


SceneObject = Polyhedron | Cylinder | Blob | Spot


@dataclass(frozen=True)
class Camera:
    """The camera of a scene: where it stands at first, where it looks, how much it sees."""

    position: Point
    pitch_rad: float  # 90 degrees look at the horizon, less look down
    yaw_rad: float
    horizontal_angle_rad: float


@dataclass(frozen=True)
class Sky:
    """Light from above: a sun and its sky, or one colour where ``color`` is given."""

    color: Color | None
    strength: float
    sun_elevation_rad: float
    sun_azimuth_rad: float
    sun_disc: bool


@dataclass(frozen=True)
class Scene:
    """Everything a renderer needs. ``speeds_mps[k-1]`` is how fast thing k drives or walks along y."""

    seed: int
    night: bool
    materials: tuple[Material, ...]
    objects: tuple[SceneObject, ...]
    speeds_mps: tuple[float, ...]
    camera: Camera
    headlights: tuple[Spot, ...]  # of the car that carries the camera
    sky: Sky
    exposure: float  # stops
