# SPDX-License-Identifier: Apache-2.0
"""Lifecycle transitions that say why they failed, and a service that survives impossible ones."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable
from typing import Any

from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn

from cast_ros.errors import CastError

Body = Callable[[Any, LifecycleState], None]
Callback = Callable[[Any, LifecycleState], TransitionCallbackReturn]


def transition_to(goal: str) -> Callable[[Body], Callback]:
    """Makes a lifecycle callback of a method that raises to fail, and that ends in state `goal` otherwise.

    rclpy swallows an exception of a callback without a word. The node has the attributes `state`, its name, and
    `failure`, why the last transition failed ('' if it did not).
    """

    def decorate(body: Body) -> Callback:
        name = body.__name__.removeprefix('on_')

        @functools.wraps(body)
        def callback(self: Any, state: LifecycleState) -> TransitionCallbackReturn:
            try:
                body(self, state)
            except Exception as error:  # noqa: BLE001 (the last chance to say anything)
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


def survive_impossible_transitions(node: Any) -> None:
    """Lets `change_state` answer false to a transition that the state does not have.

    Jazzy's rclpy raises in that case, which ends the executor and with it the process: `activate` twice is enough.

    Args:
        node: a LifecycleNode that has a state.
    """
    service = node._service_change_state
    change_state = service.callback

    def answer(request: Any, response: Any) -> Any:
        try:
            return change_state(request, response)
        except Exception as error:  # noqa: BLE001 (rclpy has no public class for it)
            wish = request.transition.label or request.transition.id
            node.get_logger().warning(f"transition '{wish}' is not possible: the node is {node.state} ({error})")
            response.success = False
            return response

    service.callback = answer
