# SPDX-License-Identifier: Apache-2.0
"""The perception node: pictures in; instances, semantic map and metric depth out, under the stamp of the picture.

One process does decode, network and every output: rclpy copies between nodes, so a chain of nodes pays for each link.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

import cv2
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import InvalidParameterTypeException, ParameterUninitializedException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import SetBool

from cast_ros.errors import CastError, ParameterError
from cast_ros.images.camera_infos import CameraInfoCache
from cast_ros.images.jpeg import FINDS_HOLES
from cast_ros.nodes.declaration import declare, read, unknown_parameters, unused_files
from cast_ros.nodes.diagnostics import SUPERSEDED, Condition, FrameStatistics, diagnostic_array
from cast_ros.nodes.frame_worker import FrameWorker
from cast_ros.nodes.inputs import Inputs
from cast_ros.nodes.outputs import Outputs, quality_of
from cast_ros.nodes.parameters import BY_NAME, Changes, refuse
from cast_ros.nodes.pipeline import Pipeline, ReceivedImage
from cast_ros.nodes.shift_watch import ShiftWatch
from cast_ros.nodes.target_frame import TargetFrame
from cast_ros.nodes.topics import DIAGNOSTICS
from cast_ros.nodes.transitions import survive_impossible_transitions, transition_to
from cast_ros.package_files import model_path
from cast_ros.student import Student
from cast_ros.student.trial import try_load
from cast_ros.tracking import InstanceTracker

DIAGNOSTICS_PERIOD_S = 1.0
SILENCE_WARNING_PERIOD_S = 30.0


class PerceptionNode(LifecycleNode):
    """Lifecycle: configure loads the student and offers the topics, activate listens and answers.

    Attributes:
        state: name of the lifecycle state.
        failure: why the last transition failed; '' if it did not.
        statistics: what happened to the pictures since the node was made.
    """

    def __init__(self, node_name: str = 'perception', **kwargs: Any) -> None:
        """Raises ParameterError if a parameter from a file or the command line cannot be used."""
        try:
            super().__init__(node_name, **kwargs)
        # Of the parameters that rclpy itself declares; a list without entries has no type.
        except (InvalidParameterTypeException, ParameterUninitializedException) as error:
            raise ParameterError(f'{error}: write true or false, without quotes') from error
        self.state = 'unconfigured'
        self.failure = ''
        self.statistics = FrameStatistics()
        self._settings = declare(self)
        for sentence in unknown_parameters(self._parameter_overrides):
            self.get_logger().warning(sentence)
        self.add_on_set_parameters_callback(self._judge_parameters)
        self.add_post_set_parameters_callback(self._adopt_parameters)
        self._camera_infos = CameraInfoCache()
        self._student: Student | None = None
        self._outputs: Outputs | None = None
        self._shift_watch: ShiftWatch | None = None
        self._target_frame: TargetFrame | None = None
        self._pipeline: Pipeline | None = None
        self._worker: FrameWorker[ReceivedImage] | None = None
        self._inputs: Inputs | None = None
        self._activated_s = 0.0
        self._enabled = True
        self.create_service(SetBool, '~/enable', self._on_enable)
        survive_impossible_transitions(self)
        self._diagnostics = self.create_publisher(
            DiagnosticArray, self._settings.topics[DIAGNOSTICS.name], quality_of(DIAGNOSTICS)
        )
        # Not the node's clock: with use_sim_time these must tick although /clock stands still or does not exist.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(DIAGNOSTICS_PERIOD_S, self._report, clock=steady)
        if self._settings.autostart:
            self._autostart_timer = self.create_timer(0.0, self._autostart, clock=steady)

    @transition_to('inactive')
    def on_configure(self, state: LifecycleState) -> None:
        """Loads the student and offers the topics; raises StudentError or ParameterError."""
        settings = self._settings
        path = model_path(settings.model)
        self.get_logger().info(f'loading student {path}')
        options = settings.load_options
        # A signal ends the context and nothing else: a child that builds an engine for minutes must hear of it.
        try_load(path, options, unwanted=lambda: not self.context.ok())
        student = Student.load(path, options)
        contract = student.contract
        self._student = student
        try:
            self._outputs = Outputs(self, settings, contract)
            self._shift_watch = ShiftWatch(self, settings, contract)
            tracker = InstanceTracker() if settings.tracking else None
            self._target_frame = TargetFrame(self, settings.target_frame) if settings.target_frame else None
            self._pipeline = Pipeline(
                self,
                student,
                self._outputs,
                self._camera_infos,
                self.statistics,
                self._shift_watch,
                tracker,
                self._target_frame,
            )
            super().on_configure(state)
        except Exception:
            self.close()
            raise
        heads = ', '.join(sorted(contract.heads))
        self.get_logger().info(f"student '{contract.name}' {contract.version} on {student.provider}: {heads}")

    @transition_to('active')
    def on_activate(self, state: LifecycleState) -> None:
        """Begins to listen."""
        assert self._outputs is not None
        assert self._pipeline is not None
        super().on_activate(state)
        self._worker = FrameWorker(self._pipeline.process, lambda _: self.statistics.frame_dropped(SUPERSEDED))
        self._worker.start()
        try:
            self._outputs.publish_label_info(self._settings.score_threshold)
            self._inputs = Inputs(self, self._settings, self._on_image, self._camera_infos.remember)
        except Exception:
            self._stop()
            super().on_deactivate(state)
            raise
        self._activated_s = time.monotonic()
        self.get_logger().info(f'active: listening to {self._inputs.image_topic}')

    @transition_to('inactive')
    def on_deactivate(self, state: LifecycleState) -> None:
        """Ends listening; a picture in work is answered first."""
        self._stop()
        super().on_deactivate(state)

    @transition_to('unconfigured')
    def on_cleanup(self, state: LifecycleState) -> None:
        """Gives the student and the topics back."""
        self.close()
        super().on_cleanup(state)

    @transition_to('finalized')
    def on_shutdown(self, state: LifecycleState) -> None:
        """Gives everything back."""
        self.close()
        super().on_shutdown(state)

    @transition_to('unconfigured')
    def on_error(self, state: LifecycleState) -> None:
        """Gives everything back, to be configured again."""
        self.close()
        super().on_error(state)

    def close(self) -> None:
        """Ends the work of the node, whatever its state; destroy_node may follow."""
        self._stop()
        self._pipeline = None
        if self._target_frame is not None:
            self._target_frame.close()
            self._target_frame = None
        if self._shift_watch is not None:
            self._shift_watch.destroy()
            self._shift_watch = None
        if self._outputs is not None:
            self._outputs.destroy()
            self._outputs = None
        if self._student is not None:
            self._student.close()
            self._student = None

    def _stop(self) -> None:
        if self._inputs is not None:
            self._inputs.destroy()
            self._inputs = None
        if self._worker is not None:
            self._worker.stop()
            self._worker = None

    def _autostart(self) -> None:
        self.destroy_timer(self._autostart_timer)
        if self.state != 'unconfigured':
            return
        self.get_logger().info('autostart: configuring and activating (parameter autostart: false leaves that to you)')
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

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
        self._settings = read(self)
        changed = {parameter.name for parameter in parameters}
        if 'score_threshold' in changed and self.state == 'active' and self._outputs is not None:
            self._outputs.publish_label_info(self._settings.score_threshold)

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        """Pause and go on within a picture, where deactivate and activate would take the topics away."""
        self._enabled, response.success = request.data, True
        response.message = 'pictures are answered' if request.data else 'paused: pictures are left alone'
        self.get_logger().info(response.message)
        return response

    def _on_image(self, message: Image | CompressedImage) -> None:
        self.statistics.frame_received()
        if self._worker is None or self._outputs is None or self._inputs is None:
            return
        if self._enabled and self._outputs.wanted():
            self._worker.offer(ReceivedImage(message, self._inputs.image_topic, self._settings, time.perf_counter()))
        else:
            self.statistics.frame_idle()

    def _report(self) -> None:
        """Once a second: /diagnostics, and a warning if nothing comes in."""
        snapshot = self.statistics.snapshot()
        waiting = self._why_silent(snapshot.seconds_since_frame)
        if waiting:
            self.get_logger().warning(waiting, throttle_duration_sec=SILENCE_WARNING_PERIOD_S)
        if twins := self._twins():
            self.get_logger().warning(twins, throttle_duration_sec=SILENCE_WARNING_PERIOD_S)
        condition = Condition(self.state, self.failure, waiting, self._warnings(), self._facts())
        stamp = self.get_clock().now().to_msg()
        array = diagnostic_array(stamp, self.get_fully_qualified_name(), condition, snapshot)
        if self._shift_watch is not None:
            array.status.append(self._shift_watch.status(self.get_fully_qualified_name()))
        self._diagnostics.publish(array)

    def _why_silent(self, seconds_since_frame: float | None) -> str:
        """Why no picture has come for stale_after_s; '' if one has, or if none is expected."""
        if self._inputs is None:
            return ''
        silent_for_s = time.monotonic() - self._activated_s
        if seconds_since_frame is not None:
            silent_for_s = min(silent_for_s, seconds_since_frame)
        if silent_for_s <= self._settings.stale_after_s:
            return ''
        return f'{self._inputs.why_silent()} (silent for {silent_for_s:.0f} s)'

    def _warnings(self) -> tuple[str, ...]:
        warnings = [twins] if (twins := self._twins()) else []
        if self._student is None or self._pipeline is None:
            return tuple(warnings)
        if self._student.provider != self._settings.providers[0]:
            warnings.append(f'running on {self._student.provider} instead of {self._settings.providers[0]}')
        if self._target_frame is not None and self._target_frame.problem:
            warnings.append(self._target_frame.problem)
        if self._student.contract.depth is not None and self._pipeline.uncalibrated:
            warnings.append(f'{self._pipeline.uncalibrated}: depth assumes the focal length of the training camera')
        elif self._pipeline.camera is not None and self._pipeline.camera.doubt:
            warnings.append(self._pipeline.camera.doubt)
        return tuple(warnings)

    def _twins(self) -> str:
        """A sentence if other nodes have our name: they answer each other's services, and share topics; else ''."""
        count = self.get_node_names_and_namespaces().count((self.get_name(), self.get_namespace()))
        named = f'{count} nodes are called {self.get_fully_qualified_name()}: give each its own name'
        return named if count > 1 else ''

    def _facts(self) -> dict[str, str]:
        facts = {'image transport': self._settings.image_transport, 'enabled': str(self._enabled).lower()}
        if self._inputs is not None:
            facts |= {'image topic': self._inputs.image_topic, 'publishers': str(self._inputs.publisher_count())}
        if self._pipeline is not None and self._pipeline.camera is not None:
            camera = self._pipeline.camera
            facts['intrinsics'] = f'{camera.matrix} of camera_info: {camera.reason}'
        if self._target_frame is not None:
            facts['images without a transform'] = str(self._target_frame.misses)
        if self._pipeline is not None and self._pipeline.sixteen_bits.used:
            facts['sixteen bit range'] = str(self._pipeline.sixteen_bits)
        if self._settings.image_transport == 'compressed' and not FINDS_HOLES:
            facts['jpeg'] = 'holes are not noticed: install simplejpeg'
        if self._student is not None:
            facts |= {
                'provider': self._student.provider,
                'model': f'{self._student.contract.name} {self._student.contract.version}',
                'model sha256': self._student.sha256,
                'model path': str(self._student.path),
            }
        return facts


def main(args: list[str] | None = None) -> int:
    """`ros2 run cast_ros perception`: 0 after SIGINT or SIGTERM, 2 if an argument or a parameter cannot be used."""
    try:
        _init(args)
        _run(sys.argv if args is None else args)
    except CastError as error:
        sys.stderr.write(f'perception: {error}\n')
        return 2
    finally:
        rclpy.try_shutdown()
    return 0


def _init(args: list[str] | None) -> None:
    """Raises ParameterError if rcl cannot read the arguments or a parameter file."""
    try:
        rclpy.init(args=args)
    except RuntimeError as error:  # the base of rclpy's own errors, which have no public name
        raise ParameterError(' '.join(str(error).split())) from error


def _run(arguments: Sequence[str]) -> None:
    """Runs the node until a signal comes."""
    # Pictures are small for a pool of threads: on busy cores waking them costs more than the resizing itself.
    cv2.setNumThreads(1)
    node: PerceptionNode | None = None
    executor = SingleThreadedExecutor()
    try:
        node = PerceptionNode()
        for sentence in unused_files(arguments, node.get_fully_qualified_name()):
            node.get_logger().warning(sentence)
        executor.add_node(node)
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except Exception:
        # A signal ends the context at once: whatever ROS call a callback is about to make then fails.
        if rclpy.ok():
            raise
    finally:
        # A launch system and a terminal both send SIGINT: the second one must not interrupt the way out.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        if node is not None:
            node.close()
        executor.shutdown()
        if node is not None:
            node.destroy_node()


if __name__ == '__main__':
    sys.exit(main())
