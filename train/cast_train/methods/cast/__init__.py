# SPDX-License-Identifier: Apache-2.0
"""CAST: a teacher is adapted, a student distilled from it and refined, with a contrast of pixels (papers.md §1)."""
