# SPDX-License-Identifier: Apache-2.0
"""Teachers: networks that label what people did not."""
