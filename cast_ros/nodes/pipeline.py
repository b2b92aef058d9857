# SPDX-License-Identifier: Apache-2.0
"""One picture from message to messages: decode, network, every output that somebody wants."""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.time import Time
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from cast_ros.errors import CastError, ImageError
from cast_ros.images import decode_compressed_rgb, decode_rgb
from cast_ros.images.camera_info import CameraModel
from cast_ros.images.camera_infos import CameraInfoCache
from cast_ros.images.sixteen_bits import SixteenBits
from cast_ros.nodes.diagnostics import FAILED, TOO_OLD, FrameStatistics
from cast_ros.nodes.outputs import Answer, Outputs, needed_heads
from cast_ros.nodes.parameters import Settings
from cast_ros.nodes.shift_watch import ShiftWatch
from cast_ros.nodes.target_frame import TargetFrame
from cast_ros.student import Prediction, Student
from cast_ros.tracking import MEMORY_S, InstanceTracker

WARNING_PERIOD_S = 5.0
IN_SPACE = frozenset({'detections_3d', 'nearest', 'points', 'points_clearing', 'markers'})


@dataclass(frozen=True, eq=False)
class ReceivedImage:
    """A picture as it came.

    Attributes:
        message: the picture.
        topic: where it came from.
        settings: the parameters that were in force when it came.
        received_s: when it came, on the clock of time.perf_counter.
    """

    message: Image | CompressedImage
    topic: str
    settings: Settings
    received_s: float


class Pipeline:
    """Answers frames, one at a time.

    Attributes:
        uncalibrated: why the last frame had no focal length, '' if it had one.
        camera: of the last frame that had a camera_info.
        sixteen_bits: which bits are looked at in pictures of 16.
    """

    def __init__(
        self,
        node: Node,
        student: Student,
        outputs: Outputs,
        camera_infos: CameraInfoCache,
        statistics: FrameStatistics,
        shift_watch: ShiftWatch,
        tracker: InstanceTracker | None,
        target_frame: TargetFrame | None,
    ) -> None:
        self.uncalibrated = ''
        self.camera: CameraModel | None = None
        self.sixteen_bits = SixteenBits()
        self._node = node
        self._student = student
        self._outputs = outputs
        self._camera_infos = camera_infos
        self._statistics = statistics
        self._shift_watch = shift_watch
        self._tracker = tracker
        self._target_frame = target_frame
        self._said: set[str] = set()

    def process(self, frame: ReceivedImage) -> None:
        """Publishes the answer, or counts and names what is wrong with the frame; never raises."""
        try:
            self._answer(frame)
        except ImageError as error:
            self._statistics.frame_malformed(error.field, str(error))
            self._node.get_logger().warning(
                f'refused a picture on {frame.topic}: {error}', throttle_duration_sec=WARNING_PERIOD_S
            )
        except Exception as error:  # noqa: BLE001 (a thread that ends here would be a node that is silent for ever)
            if not self._node.context.ok():
                return
            self._statistics.frame_dropped(FAILED)
            details = '' if isinstance(error, CastError) else f'\n{traceback.format_exc()}'
            self._node.get_logger().error(
                f'a picture was lost: {error}{details}', throttle_duration_sec=WARNING_PERIOD_S
            )

    def _answer(self, frame: ReceivedImage) -> None:
        started_s = time.perf_counter()
        wanted = self._outputs.wanted()
        if not wanted:
            self._statistics.frame_idle()
            return
        settings, header = frame.settings, frame.message.header
        if 0 < settings.max_age_s < self._age_ms(header) / 1e3:
            self._statistics.frame_dropped(TOO_OLD)
            return
        rgb = self._decode(frame.message, settings)
        decoded_s = time.perf_counter()
        camera = self._camera_of(frame, rgb)
        prediction = self._student.predict(
            rgb,
            fx_px=None if camera is None else camera.fx_px,
            heads=needed_heads(wanted),
            size='network' if settings.output_size == 'network' else 'image',
            score_threshold=settings.score_threshold,
            depth_scale=settings.depth_scale,
        )
        predicted_s = time.perf_counter()
        contract = self._student.contract
        if any(settings.classes):
            prediction = prediction.of_classes([one.id for one in contract.classes if one.name in settings.classes])
        numbers = self._track(header, prediction)
        placement = None
        if self._target_frame is not None and not IN_SPACE.isdisjoint(topic.name for topic in wanted):
            placement = self._target_frame.placement(header, settings)
        answer = Answer(header, rgb, prediction, contract, camera, settings, numbers, placement)
        self._outputs.publish(wanted, answer)
        done_s = time.perf_counter()
        # After publishing: nobody waits for it.
        self._shift_watch.look(rgb, self._student.last_scores)
        timing = self._student.last_timing
        assert timing is not None
        self._statistics.frame_answered(
            age_ms=self._age_ms(header),
            waiting_ms=(started_s - frame.received_s) * 1e3,
            decode_ms=(decoded_s - started_s) * 1e3,
            preprocess_ms=timing.preprocess_ms,
            inference_ms=timing.inference_ms,
            postprocess_ms=timing.postprocess_ms,
            publish_ms=(done_s - predicted_s) * 1e3,
            processing_ms=(done_s - started_s) * 1e3,
        )

    def _track(self, header: Header, prediction: Prediction) -> NDArray[np.uint16] | None:
        boxes, labels, scores = prediction.image_boxes(), prediction.labels, prediction.scores
        if self._tracker is None or boxes is None or labels is None or scores is None:
            return None
        resets = self._tracker.resets
        numbers = self._tracker.update(Time.from_msg(header.stamp).nanoseconds, boxes, labels, scores)
        if self._tracker.resets > resets:
            self._node.get_logger().info(
                f'stamps jumped back, or by more than {MEMORY_S:g} s: instances get new ids',
                throttle_duration_sec=WARNING_PERIOD_S,
            )
        return numbers

    def _age_ms(self, header: Header) -> float:
        """Now minus stamp."""
        now = self._node.get_clock().now()
        return float((now - Time.from_msg(header.stamp, now.clock_type)).nanoseconds) / 1e6

    def _decode(self, message: Image | CompressedImage, settings: Settings) -> NDArray[np.uint8]:
        if self.sixteen_bits.range != settings.sixteen_bit_range:
            self.sixteen_bits = SixteenBits(settings.sixteen_bit_range)
        if isinstance(message, CompressedImage):
            return decode_compressed_rgb(message, settings.max_pixels, self.sixteen_bits)
        return decode_rgb(message, settings.max_pixels, self.sixteen_bits)

    def _camera_of(self, frame: ReceivedImage, rgb: NDArray[np.uint8]) -> CameraModel | None:
        header, (height, width) = frame.message.header, rgb.shape[:2]
        info = self._camera_infos.matching(header, width, height)
        if info is None:
            self.uncalibrated = self._camera_infos.why_none(header, width, height)
            return None
        self.camera = camera = CameraModel.of(info, frame.topic, frame.settings.rectified)
        self.uncalibrated = ''
        if camera.problem:
            self.uncalibrated = f"camera_info of frame '{header.frame_id}' is not calibrated ({camera.problem})"
        elif (sentence := f'intrinsics are {camera.matrix} of camera_info: {camera.reason}') not in self._said:
            # Each once: pictures of two cameras may take turns.
            self._said.add(sentence)
            self._node.get_logger().info(sentence)
        return camera
