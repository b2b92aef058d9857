# SPDX-License-Identifier: Apache-2.0
"""`python -m cast_ros.nodes`: the perception node, once its libraries are known to be there."""

from __future__ import annotations

import sys

from cast_ros.errors import CastError
from cast_ros.libraries import RUNTIME, require


def main() -> int:
    """As `perception_node.main`; 2 and one line if a library is missing or too old."""
    try:
        require(RUNTIME)
    except CastError as error:
        sys.stderr.write(f'perception: {error}\n')
        return error.exit_code
    from cast_ros.nodes.perception_node import main as run

    return run()


if __name__ == '__main__':
    sys.exit(main())
