# SPDX-License-Identifier: Apache-2.0
"""Answers of a student or a node against ground truth, frame by frame."""
