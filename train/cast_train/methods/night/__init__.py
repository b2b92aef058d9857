# SPDX-License-Identifier: Apache-2.0
"""From two recordings to a student that knows the second as well: an adaptation with FAMDA, judged and gated."""
