# SPDX-License-Identifier: Apache-2.0
"""Running a training: recipe, loop, checkpoints, logs, evaluation."""
