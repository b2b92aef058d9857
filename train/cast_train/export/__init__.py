# SPDX-License-Identifier: Apache-2.0
"""From a trained network to one checked ONNX file."""
