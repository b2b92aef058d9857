# SPDX-License-Identifier: Apache-2.0
"""Instance masks, a semantic map and metric depth from one small network, for ROS 2."""

from __future__ import annotations

__version__ = '0.1.0'
