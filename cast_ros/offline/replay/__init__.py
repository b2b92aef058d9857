# SPDX-License-Identifier: Apache-2.0
"""Students on a recorded bag: how good, how fast, how steady."""
