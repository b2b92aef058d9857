# SPDX-License-Identifier: Apache-2.0
"""How good answers are: one definition, for training and for replay."""
