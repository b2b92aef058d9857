# SPDX-License-Identifier: Apache-2.0
"""The real node as a process, started, fed and measured from beside: demo, bench, soak, live replay, bag player."""
