# SPDX-License-Identifier: Apache-2.0
"""The half of cast_ros that learns: data, models, losses, training, export. Never needed on a robot."""
