# SPDX-License-Identifier: Apache-2.0
"""What `cast bag` does: look into bags, check, cut and break them, and turn them into pictures and back."""
