# SPDX-License-Identifier: Apache-2.0
"""Methods: how a student, and a teacher before it, is taught from labels and from pictures without any."""
