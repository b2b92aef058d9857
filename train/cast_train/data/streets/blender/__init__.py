# SPDX-License-Identifier: Apache-2.0
"""Everything that calls Blender. Its state is global: one scene per process."""
