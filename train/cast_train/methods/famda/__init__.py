# SPDX-License-Identifier: Apache-2.0
"""FAMDA, reconstructed: a student learns a domain without labels from its own average (papers.md §3)."""
