# SPDX-License-Identifier: Apache-2.0
"""The demonstration: plays a drive into the real node through DDS, and shows and measures what comes back."""
