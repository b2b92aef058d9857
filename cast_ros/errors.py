# SPDX-License-Identifier: Apache-2.0
"""The base of every error that a user of cast_ros may see."""


class CastError(Exception):
    """Something a person can act on; the message says what is wrong, where, and what to do.

    Each area derives one class from it. Command lines print the message and exit with ``exit_code``.
    """

    exit_code = 2
