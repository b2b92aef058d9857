# SPDX-License-Identifier: Apache-2.0
"""Running a student: one picture in, one `Prediction` out."""

from __future__ import annotations

import math
import time
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from cast_ros.errors import StudentError
from cast_ros.student.contract import INSTANCE_OUTPUTS, StudentContract
from cast_ros.student.geometry import InputGeometry, MapSampler
from cast_ros.student.loading import open_student
from cast_ros.student.postprocessing import paint_instances, read_depth, read_semantic, sky_mask
from cast_ros.student.prediction import Prediction, Timing
from cast_ros.student.providers import DEFAULT_OPTIONS, LoadOptions, computing_provider

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

HEADS = frozenset({'instances', 'semantic', 'depth'})
# Just below the 32 MiB where glibc stops learning.
_LARGEST_BLOCK_BYTES = 31 << 20


class Student:
    """A loaded and warmed up network; not to be shared between threads, since `last_timing` is its own.

    Attributes:
        path: the file it was loaded from.
        contract: what it promises.
        sha256: hexadecimal digest of the file.
        output_shapes: shape of each output of the graph, batch axis included.
        last_timing: of the last `predict`; None before the first.
        last_scores: (K,) of all its rows, before any threshold; None if instances were not asked for.
    """

    def __init__(self, path: Path, sha256: str, contract: StudentContract, session: InferenceSession) -> None:
        self.path = path
        self.sha256 = sha256
        self.contract = contract
        self.last_timing: Timing | None = None
        self.last_scores: npt.NDArray[np.float32] | None = None
        self.output_shapes = {node.name: tuple(int(size) for size in node.shape) for node in session.get_outputs()}
        self._session: InferenceSession | None = session
        self._registered = session.get_providers()
        self._provider = computing_provider(session)

    @classmethod
    def load(cls, path: str | Path, options: LoadOptions = DEFAULT_OPTIONS) -> Student:
        """Load, check and warm up a student.

        Args:
            path: the ONNX file.
            options: on which provider, with how many threads.

        Raises:
            StudentError: any step of loading failed; the message names the file, what is wrong, and what to do.
        """
        opened = open_student(Path(path), options)
        student = cls(opened.path, opened.sha256, opened.contract, opened.session)
        student._warm_up()
        return student

    @property
    def provider(self) -> str:
        """The execution provider that is really in use; after a fallback the one that took over."""
        if self._session is not None and self._session.get_providers() != self._registered:
            self._registered = self._session.get_providers()
            self._provider = computing_provider(self._session)
        return self._provider

    def close(self) -> None:
        """Give the memory of the network back; `predict` is an error from here on."""
        self._session = None

    def __enter__(self) -> Student:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def predict(
        self,
        rgb: npt.NDArray[np.uint8],
        fx_px: float | None = None,
        heads: Collection[str] | None = None,
        size: Literal['image', 'network'] = 'image',
        score_threshold: float = 0.0,
        depth_scale: float = 1.0,
    ) -> Prediction:
        """Say what is in a picture.

        Args:
            rgb: (H, W, 3) uint8.
            fx_px: focal length of the camera in pixels of this picture; None assumes the reference of the contract.
            heads: any of instances, semantic, depth; None asks for all. Outputs that nobody needs are not computed.
            size: `image` answers at the size of the picture, `network` at the size of the input without its padding.
            score_threshold: rows below are left out.
            depth_scale: one more factor on depth, for a camera that was calibrated against the world.

        Raises:
            StudentError: the picture or an argument is unusable, or inference failed.
        """
        wanted = self._wanted_heads(heads)
        _check_picture(rgb)
        _check_positive('fx_px', 1.0 if fx_px is None else fx_px)
        _check_positive('depth_scale', depth_scale)
        if size not in ('image', 'network'):
            raise StudentError(f'size must be "image" or "network", is {size!r}')
        started = time.perf_counter()
        geometry = InputGeometry.for_image(rgb.shape[0], rgb.shape[1], self.contract.input)
        tensor = geometry.to_network(rgb)[np.newaxis]
        prepared = time.perf_counter()
        raw = self._run(self._needed_outputs(wanted), tensor)
        self.last_scores = raw.get('scores')
        answered = time.perf_counter()
        fx_at_input = None if fx_px is None else geometry.fx_at_input(fx_px)
        depth_factor = self._depth_factor(fx_at_input) * depth_scale
        answer = self._answer(raw, geometry, wanted, size, score_threshold, depth_factor)
        finished = time.perf_counter()
        self.last_timing = Timing(
            preprocess_ms=(prepared - started) * 1e3,
            inference_ms=(answered - prepared) * 1e3,
            postprocess_ms=(finished - answered) * 1e3,
        )
        return answer

    def _wanted_heads(self, heads: Collection[str] | None) -> frozenset[str]:
        if heads is None:
            return self.contract.heads
        unknown = sorted(set(heads) - HEADS)
        if unknown:
            raise StudentError(f'there is no head {", ".join(unknown)}; ask for any of {", ".join(sorted(HEADS))}')
        return self.contract.heads & frozenset(heads)

    def _needed_outputs(self, wanted: frozenset[str]) -> list[str]:
        names = list(INSTANCE_OUTPUTS) if 'instances' in wanted else []
        if 'semantic' in wanted or ('depth' in wanted and self._semantic_knows_sky()):
            names.append('semantic')
        if 'depth' in wanted:
            names.append('depth')
        return names

    def _semantic_knows_sky(self) -> bool:
        return 'semantic' in self.contract.heads and self.contract.sky_id is not None

    def _depth_factor(self, fx_at_input: float | None) -> float:
        if fx_at_input is None or self.contract.depth is None:
            return 1.0
        return fx_at_input / self.contract.depth.focal_reference_px

    def _run(self, names: list[str], tensor: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[Any]]:
        """The named outputs, without the batch axis."""
        if self._session is None:
            raise StudentError(f'{self.path}: the student was closed; load it again')
        if not names:
            return {}
        try:
            arrays = self._session.run(names, {'image': tensor})
        except Exception as error:  # onnxruntime raises classes of its own, without a common public base
            raise StudentError(f'{self.path}: inference failed on {self.provider}: {error}') from error
        return {name: np.asarray(array)[0] for name, array in zip(names, arrays, strict=True)}

    def _answer(
        self,
        raw: dict[str, npt.NDArray[Any]],
        geometry: InputGeometry,
        wanted: frozenset[str],
        size: Literal['image', 'network'],
        score_threshold: float,
        depth_factor: float,
    ) -> Prediction:
        instances = semantic = depth = None
        to_maps = geometry.to_image_maps if size == 'image' else geometry.to_content_maps
        height, width = (
            (geometry.image_height, geometry.image_width)
            if size == 'image'
            else (geometry.content_height, geometry.content_width)
        )
        if 'instances' in wanted:
            sampler: MapSampler = to_maps(*raw['masks'].shape[-2:])
            instances = paint_instances(
                raw['scores'], raw['labels'], raw['masks'], sampler, self.contract.thing_ids, score_threshold
            )
        if 'semantic' in raw:
            semantic = read_semantic(raw['semantic'], to_maps(*raw['semantic'].shape), len(self.contract.classes))
        if 'depth' in wanted and self.contract.depth is not None:
            sky = None if semantic is None else sky_mask(semantic, self.contract)
            cap_m = self.contract.depth.cap_m
            depth = read_depth(raw['depth'], to_maps(*raw['depth'].shape), depth_factor, cap_m, sky)
        return Prediction(
            height=height,
            width=width,
            image_height=geometry.image_height,
            image_width=geometry.image_width,
            boxes=None if instances is None else instances.boxes,
            labels=None if instances is None else instances.labels,
            scores=None if instances is None else instances.scores,
            instance_ids=None if instances is None else instances.instance_ids,
            semantic=semantic if 'semantic' in wanted else None,
            depth=depth,
        )

    def _warm_up(self) -> None:
        """Answer one black picture: the first run allocates, and a broken network shows itself."""
        spec = self.contract.input
        black = np.zeros((spec.height, spec.width, 3), dtype=np.uint8)
        for name, array in self._run(list(self.contract.outputs), black[np.newaxis]).items():
            if array.dtype.kind == 'f' and not np.isfinite(array).all():
                raise StudentError(
                    f'{self.path}: output {name!r} is NaN or infinite for a black picture; '
                    'the weights are broken, export the student again'
                )
        self.predict(black)
        self.last_timing, self.last_scores = None, None
        _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Let the process reuse the memory of the last answer for the next one.

    By default glibc returns freed maps to the kernel, and at 1280x720 every frame pays for 1600 fresh pages: 3 ms. It
    raises its limits to the largest block that was ever freed (never touched, so this one costs nothing) and from then
    on keeps up to twice as much. Other C libraries do as they always do.
    """
    block = np.empty(_LARGEST_BLOCK_BYTES, dtype=np.uint8)
    del block


def _check_picture(rgb: npt.NDArray[np.uint8]) -> None:
    if not isinstance(rgb, np.ndarray) or rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        found = f'{rgb.dtype} {rgb.shape}' if isinstance(rgb, np.ndarray) else type(rgb).__name__
        raise StudentError(f'a picture must be a uint8 array of height x width x 3 (RGB), is {found}')
    if rgb.size == 0:
        raise StudentError(f'the picture is empty: {rgb.shape[1]} x {rgb.shape[0]} pixels')


def _check_positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise StudentError(f'{name} must be a positive number, is {value}')
