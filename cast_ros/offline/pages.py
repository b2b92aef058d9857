# SPDX-License-Identifier: Apache-2.0
"""HTML pages that people forward: templates of one look, light and dark."""

from __future__ import annotations

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined


def page_template_environment(package: str) -> Environment:
    """Templates in ``templates/`` of a package; ``{% include 'page.css' %}`` gives them the look of all pages."""
    return Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader('cast_ros.offline')]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
