# SPDX-License-Identifier: Apache-2.0
"""The domain-shift monitor in the node: fed by the pipeline, shown in /diagnostics, with a bag snapshot on alarm."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from numpy.typing import NDArray
from rclpy.node import Node

from cast_ros.errors import ParameterError
from cast_ros.monitoring import DomainShiftMonitor, Level, Shift, ShiftLimits
from cast_ros.nodes.parameters import Settings
from cast_ros.student import StudentContract

# More looks a second would tell nothing more.
LEAST_INTERVAL_S = 0.09
SNAPSHOT_PERIOD_S = 60.0
_LEVELS = {Level.OK: DiagnosticStatus.OK, Level.WARN: DiagnosticStatus.WARN, Level.ERROR: DiagnosticStatus.ERROR}


class ShiftWatch:
    """One monitor for one configured node; `look` may run in another thread than the rest.

    Raises:
        ParameterError: the limits contradict each other, or a snapshot is asked for without rosbag2_interfaces.
    """

    def __init__(self, node: Node, settings: Settings, contract: StudentContract) -> None:
        if settings.shift_error < settings.shift_warn:
            raise ParameterError(
                f"parameter 'shift_error' ({settings.shift_error}) must not be below 'shift_warn' "
                f'({settings.shift_warn})'
            )
        limits = ShiftLimits(settings.shift_warn, settings.shift_error, settings.shift_window_s)
        statistics = contract.input_statistics
        self._monitor = None if statistics is None else DomainShiftMonitor(statistics, limits)
        self._can_compare = statistics is not None and statistics.appearance is not None
        self._node = node
        self._lock = threading.Lock()
        self._shift = Shift()
        self._looked_s = -LEAST_INTERVAL_S
        self._snapshot_s = -SNAPSHOT_PERIOD_S
        self.snapshots = 0
        self._client = _snapshot_client(node, settings.snapshot_service)
        self._service = settings.snapshot_service

    def look(self, rgb: NDArray[np.uint8], scores: NDArray[np.floating] | None) -> None:
        """Take in a picture and the scores of all rows, unless the last one was a moment ago."""
        now_s = time.monotonic()
        if self._monitor is None or now_s - self._looked_s < LEAST_INTERVAL_S:
            return
        self._looked_s = now_s
        former = self._shift.level
        shift = self._monitor.update(rgb, scores, now_s)
        with self._lock:
            self._shift = shift
        if shift.level > former:
            self._node.get_logger().warning(f'domain shift: {shift.reason}', throttle_duration_sec=5.0)
            self._ask_for_snapshot(now_s)

    def status(self, node_name: str) -> DiagnosticStatus:
        """For /diagnostics."""
        with self._lock:
            shift = self._shift
        message = shift.reason or f'pictures look like training (distance {shift.distance:.2f})'
        if not self._can_compare:
            message = 'the student brings no statistics of its training pictures: cast-train statistics measures them'
        values = {'distance': f'{shift.distance:.3f}', 'snapshots': str(self.snapshots)}
        if shift.entropy is not None:
            values['entropy of the scores, standard deviations from training'] = f'{shift.entropy:.2f}'
        if shift.detections is not None:
            values['instances per picture'] = f'{shift.detections:.1f}'
        return DiagnosticStatus(
            level=_LEVELS[shift.level],
            name=f'{node_name.lstrip("/")}: domain shift',
            message=message,
            values=[KeyValue(key=key, value=value) for key, value in values.items()],
        )

    def destroy(self) -> None:
        """Gives the client back."""
        if self._client is not None:
            self._node.destroy_client(self._client)
            self._client = None

    def _ask_for_snapshot(self, now_s: float) -> None:
        if self._client is None or now_s - self._snapshot_s < SNAPSHOT_PERIOD_S:
            return
        if not self._client.service_is_ready():
            self._node.get_logger().warning(
                f'no snapshot: nobody offers {self._service}; start `ros2 bag record --snapshot-mode`',
                throttle_duration_sec=SNAPSHOT_PERIOD_S,
            )
            return
        self._snapshot_s = now_s
        self.snapshots += 1
        self._client.call_async(self._client.srv_type.Request())


def _snapshot_client(node: Node, service: str) -> Any:
    if not service:
        return None
    try:
        from rosbag2_interfaces.srv import Snapshot
    except ImportError as error:
        raise ParameterError(
            "parameter 'snapshot_service' needs the package rosbag2_interfaces: install it, or leave that empty"
        ) from error
    return node.create_client(Snapshot, service)
