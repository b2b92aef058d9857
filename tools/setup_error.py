# SPDX-License-Identifier: Apache-2.0
"""What set-up raises when a person has to do something; the message says what."""


class SetupError(Exception):
    """The environment cannot be made on this machine as it is."""
