# SPDX-License-Identifier: Apache-2.0
"""Losses; each works with any subset of the labels."""
