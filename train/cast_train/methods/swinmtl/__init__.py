# SPDX-License-Identifier: Apache-2.0
"""SwinMTL: depth and segmentation learned together, with a critic beside them (papers.md §2)."""
