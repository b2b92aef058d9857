# SPDX-License-Identifier: Apache-2.0
"""The perception node: pictures in; instances, semantic map and metric depth out, under the stamp of the picture.

One process does decode, network and every output: rclpy copies between nodes, so a chain of nodes would pay for each link.
"""

from __future__ import annotations

import functools
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from numpy.typing import NDArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from cast_ros.errors import CastError
from cast_ros.images import ImageError, decode_compressed_rgb, decode_rgb
from cast_ros.nodes.camera_info import CameraInfoCache, focal_length_px
from cast_ros.nodes.diagnostics import FAILED, MALFORMED, SUPERSEDED, Condition, FrameStatistics, diagnostic_array
from cast_ros.nodes.frame_worker import FrameWorker
from cast_ros.nodes.inputs import Inputs
from cast_ros.nodes.outputs import Answer, Outputs, needed_heads
from cast_ros.nodes.parameters import (
    BY_NAME,
    Changes,
    ParameterError,
    Settings,
    declare,
    model_path,
    refuse,
)
from cast_ros.student import Student

DIAGNOSTICS_PERIOD_S = 1.0
WARNING_PERIOD_S = 5.0

Transition = Callable[['PerceptionNode', LifecycleState], TransitionCallbackReturn]


@dataclass(frozen=True, eq=False)
class Frame:
    """A picture as it came, and when, on the clock of time.perf_counter."""

    message: Image | CompressedImage
    received_s: float


def transition_to(goal: str) -> Callable[[Callable[[PerceptionNode, LifecycleState], None]], Transition]:
    """A lifecycle callback that ends in state `goal`, or fails with a reason: rclpy would swallow an exception."""

    def decorate(body: Callable[[PerceptionNode, LifecycleState], None]) -> Transition:
        name = body.__name__.removeprefix('on_')

        @functools.wraps(body)
        def callback(self: PerceptionNode, state: LifecycleState) -> TransitionCallbackReturn:
            try:
                body(self, state)
            except Exception as error:
                if not isinstance(error, CastError):
                    self.get_logger().error(traceback.format_exc())
                self.failure = f'{name} failed: {error}'
                self.get_logger().error(f'{self.failure} (the node stays {self.state})')
                return TransitionCallbackReturn.FAILURE
            self.failure = ''
            self.state = goal
            return TransitionCallbackReturn.SUCCESS

        return callback

    return decorate


class PerceptionNode(LifecycleNode):
    """Lifecycle: configure loads the student and offers the topics, activate listens and answers.

    Attributes:
        state: name of the lifecycle state.
        failure: why the last transition failed; '' if it did not.
    """

    def __init__(self, node_name: str = 'perception', **kwargs: Any) -> None:
        """Raises ParameterError if a parameter from a file or the command line cannot be used."""
        super().__init__(node_name, **kwargs)
        self.state = 'unconfigured'
        self.failure = ''
        self._settings = declare(self)
        self.add_on_set_parameters_callback(self._judge_parameters)
        self.add_post_set_parameters_callback(self._adopt_parameters)
        self._student: Student | None = None
        self._outputs: Outputs | None = None
        self._inputs: Inputs | None = None
        self._worker: FrameWorker[Frame] | None = None
        self._camera_infos = CameraInfoCache()
        self._statistics = FrameStatistics()
        self._activated_s = 0.0
        self._uncalibrated = ''
        self._refuse_impossible_transitions()
        self._diagnostics = self.create_publisher(DiagnosticArray, self._settings.diagnostics_topic, 10)
        # Not the node's clock: with use_sim_time these must tick although /clock stands still or does not exist.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(DIAGNOSTICS_PERIOD_S, self._report, clock=steady)
        if self._settings.autostart:
            self._autostart_timer = self.create_timer(0.0, self._autostart, clock=steady)

    # Lifecycle

    @transition_to('inactive')
    def on_configure(self, state: LifecycleState) -> None:
        settings = self._settings
        path = model_path(settings.model)
        self.get_logger().info(f'loading student {path}')
        self._student = Student.load(path, settings.providers, settings.require_provider, settings.threads)
        contract = self._student.contract
        self._outputs = Outputs(self, settings, contract)
        super().on_configure(state)
        self.get_logger().info(
            f"student '{contract.name}' {contract.version} on {self._student.provider}: {', '.join(sorted(contract.heads))}"
        )

    @transition_to('active')
    def on_activate(self, state: LifecycleState) -> None:
        assert self._outputs is not None
        super().on_activate(state)
        self._outputs.publish_label_info(self._settings.score_threshold)
        self._worker = FrameWorker(self._process, lambda _: self._statistics.frame_dropped(SUPERSEDED))
        self._worker.start()
        self._activated_s = time.monotonic()
        self._inputs = Inputs(self, self._settings, self._on_image, self._camera_infos.remember)
        self.get_logger().info(f'active: listening to {self._inputs.image_topic}')

    @transition_to('inactive')
    def on_deactivate(self, state: LifecycleState) -> None:
        self._stop()
        super().on_deactivate(state)

    @transition_to('unconfigured')
    def on_cleanup(self, state: LifecycleState) -> None:
        self._release()
        super().on_cleanup(state)

    @transition_to('finalized')
    def on_shutdown(self, state: LifecycleState) -> None:
        self._release()
        super().on_shutdown(state)

    @transition_to('unconfigured')
    def on_error(self, state: LifecycleState) -> None:
        self._release()
        super().on_error(state)

    def close(self) -> None:
        """Ends the work of the node, whatever its state; destroy_node comes after it."""
        self._release()

    def _stop(self) -> None:
        if self._inputs is not None:
            self._inputs.destroy()
            self._inputs = None
        if self._worker is not None:
            self._worker.stop()
            self._worker = None

    def _release(self) -> None:
        self._stop()
        if self._outputs is not None:
            self._outputs.destroy()
            self._outputs = None
        if self._student is not None:
            self._student.close()
            self._student = None

    def _autostart(self) -> None:
        self.destroy_timer(self._autostart_timer)
        if self.state != 'unconfigured':
            return
        self.get_logger().info('autostart: configuring and activating (set parameter autostart to false to do it yourself)')
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def _refuse_impossible_transitions(self) -> None:
        """Answer `success: false` to a transition that the state does not have: rclpy would end the process."""
        service = self._service_change_state
        change_state = service.callback

        def answer(request: Any, response: Any) -> Any:
            try:
                return change_state(request, response)
            except Exception as error:
                wish = request.transition.label or request.transition.id
                self.get_logger().warning(f"transition '{wish}' is not possible: the node is {self.state} ({error})")
                response.success = False
                return response

        service.callback = answer

    # Parameters

    def _judge_parameters(self, parameters: list[Any]) -> SetParametersResult:
        try:
            refuse((parameter.name, parameter.value) for parameter in parameters)
        except ParameterError as error:
            return SetParametersResult(successful=False, reason=str(error))
        for parameter in parameters:
            row = BY_NAME.get(parameter.name)
            if row and row.changes is Changes.UNCONFIGURED and self.state != 'unconfigured':
                reason = f"parameter '{row.name}' is used by configure and the node is {self.state}: clean up first"
                return SetParametersResult(successful=False, reason=reason)
        return SetParametersResult(successful=True)

    def _adopt_parameters(self, parameters: list[Any]) -> None:
        self._settings = Settings.read(self)
        changed = {parameter.name for parameter in parameters}
        if 'score_threshold' in changed and self.state == 'active' and self._outputs is not None:
            self._outputs.publish_label_info(self._settings.score_threshold)

    # Frames

    def _on_image(self, message: Image | CompressedImage) -> None:
        self._statistics.frame_received()
        if self._worker is None or self._outputs is None:
            return
        if not self._outputs.wanted():
            self._statistics.frame_idle()
            return
        self._worker.offer(Frame(message, time.perf_counter()))

    def _process(self, frame: Frame) -> None:
        """Runs in the worker's thread; a bad picture is counted and named, and the node lives on."""
        try:
            self._answer(frame)
        except ImageError as error:
            self._statistics.frame_dropped(MALFORMED)
            self.get_logger().warning(
                f'refused a picture on {self._input_topic()}: {error}', throttle_duration_sec=WARNING_PERIOD_S
            )
        except Exception as error:
            if not self.context.ok():
                return
            self._statistics.frame_dropped(FAILED)
            details = '' if isinstance(error, CastError) else f'\n{traceback.format_exc()}'
            self.get_logger().error(f'a picture was lost: {error}{details}', throttle_duration_sec=WARNING_PERIOD_S)

    def _answer(self, frame: Frame) -> None:
        settings, student, outputs = self._settings, self._student, self._outputs
        assert student is not None and outputs is not None
        started_s = time.perf_counter()
        wanted = outputs.wanted()
        if not wanted:
            self._statistics.frame_idle()
            return
        header = frame.message.header
        rgb = _decode(frame.message, settings.max_pixels)
        decoded_s = time.perf_counter()
        camera_info = self._calibration_of(header, rgb)
        prediction = student.predict(
            rgb,
            fx_px=None if camera_info is None else focal_length_px(camera_info),
            heads=needed_heads(wanted),
            size='network' if settings.output_size == 'network' else 'image',
            score_threshold=settings.score_threshold,
            depth_scale=settings.depth_scale,
        )
        predicted_s = time.perf_counter()
        outputs.publish(
            wanted, Answer(header, rgb, prediction, student.contract, camera_info, settings.overlay_alpha)
        )
        done_s = time.perf_counter()
        timing = student.last_timing
        assert timing is not None
        self._statistics.frame_answered(
            age_ms=(self.get_clock().now() - Time.from_msg(header.stamp, self.get_clock().clock_type)).nanoseconds / 1e6,
            waiting_ms=(started_s - frame.received_s) * 1e3,
            decode_ms=(decoded_s - started_s) * 1e3,
            preprocess_ms=timing.preprocess_ms,
            inference_ms=timing.inference_ms,
            postprocess_ms=timing.postprocess_ms,
            publish_ms=(done_s - predicted_s) * 1e3,
            processing_ms=(done_s - started_s) * 1e3,
        )

    def _calibration_of(self, header: Any, rgb: NDArray[np.uint8]) -> CameraInfo | None:
        height, width = rgb.shape[:2]
        camera_info = self._camera_infos.matching(header, width, height)
        if camera_info is None:
            others = self._camera_infos.sizes_of(header.frame_id)
            known = f' (there is one for {", ".join(f"{w}x{h}" for w, h in others)})' if others else ''
            self._uncalibrated = f"no camera_info for frame '{header.frame_id}' with {width}x{height} pixels{known}"
        elif focal_length_px(camera_info) is None:
            self._uncalibrated = f"camera_info of frame '{header.frame_id}' is not calibrated (K is zero)"
        else:
            self._uncalibrated = ''
        return camera_info

    # Reports

    def _input_topic(self) -> str:
        inputs = self._inputs
        return inputs.image_topic if inputs else self.resolve_topic_name(self._settings.image_topic)

    def _report(self) -> None:
        """Once a second: /diagnostics, and a warning if nothing comes in."""
        snapshot = self._statistics.snapshot()
        waiting = ''
        if self._inputs is not None:
            active_for_s = time.monotonic() - self._activated_s
            silent_for_s = min(active_for_s, snapshot.seconds_since_frame or active_for_s)
            if silent_for_s > self._settings.stale_after_s:
                waiting = f'{self._inputs.why_silent()} (silent for {silent_for_s:.0f} s)'
                self.get_logger().warning(waiting, throttle_duration_sec=6 * WARNING_PERIOD_S)
        condition = Condition(self.state, self.failure, waiting, self._warnings(), self._facts())
        stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(diagnostic_array(stamp, self.get_fully_qualified_name(), condition, snapshot))

    def _warnings(self) -> tuple[str, ...]:
        warnings = []
        if self._student is not None and self._student.provider != self._settings.providers[0]:
            warnings.append(f'running on {self._student.provider} instead of {self._settings.providers[0]}')
        if self._student is not None and self._student.contract.depth is not None and self._uncalibrated:
            warnings.append(f'{self._uncalibrated}: depth assumes the focal length of the training camera')
        return tuple(warnings)

    def _facts(self) -> dict[str, str]:
        facts = {'image topic': self._input_topic(), 'image transport': self._settings.image_transport}
        if self._inputs is not None:
            facts['publishers'] = str(self._inputs.publisher_count())
        if self._student is not None:
            facts |= {
                'provider': self._student.provider,
                'model': f'{self._student.contract.name} {self._student.contract.version}',
                'model sha256': self._student.sha256,
                'model path': str(self._student.path),
            }
        return facts


def _decode(message: Image | CompressedImage, max_pixels: int) -> NDArray[np.uint8]:
    if isinstance(message, CompressedImage):
        return decode_compressed_rgb(message, max_pixels)
    return decode_rgb(message, max_pixels)


def main(args: list[str] | None = None) -> int:
    """`ros2 run cast_ros perception`: 0 after SIGINT or SIGTERM, 2 if a parameter cannot be used."""
    node: PerceptionNode | None = None
    executor: SingleThreadedExecutor | None = None
    try:
        rclpy.init(args=args)
        node = PerceptionNode()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except CastError as error:
        print(f'perception: {error}', file=sys.stderr)
        return 2
    finally:
        # A launch system and a terminal both send SIGINT: the second one must not interrupt the way out.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        if node is not None:
            node.close()
        if executor is not None:
            executor.shutdown()
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
