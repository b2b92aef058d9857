# SPDX-License-Identifier: Apache-2.0
"""Our definitions of vision_msgs are, on the wire, those of the real package.

The type hashes (REP 2016) were taken from vision_msgs 4.1.1; names, order and types of all fields go into them.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ament_index_python.packages import get_package_share_directory

UPSTREAM_HASHES = {
    'BoundingBox2D': 'RIHS01_008eacbb0cf8f26e83795547bed013eec3675485ef386ec056d80eaaf1c1ce2f',
    'Detection2D': 'RIHS01_0d12b69df5c593b3455b7346fac8205437a7d4bcb09b9e0e0b2dde787ded38ea',
    'Detection2DArray': 'RIHS01_214274120007f4a683866481336b70310268cfa107aebe9d594a6acf75bda968',
    # The 3D types: of the fields that the documentation of Jazzy's package shows.
    'BoundingBox3D': 'RIHS01_bbb73a65c163d7f9bb29009c7bde9f7faa576bd2d23299c4511d19230dab4698',
    'Detection3D': 'RIHS01_ddd703be132ab0b69d33121f1bb034132bfbb3b0ac5f9fb1516005ba1c8a265b',
    'Detection3DArray': 'RIHS01_793f5eab9595ac1c0da07873cc859db42eae51f0ee76056db8562515d830e018',
    'LabelInfo': 'RIHS01_3d37df4015cdf660cc851c51897f2acd957e1ca6205ba0a99aebffb9406b0783',
    'ObjectHypothesis': 'RIHS01_51da43cec11c01957a64d1e05a24acd18aae7745ec30b74348ad5f6d634f7f90',
    'ObjectHypothesisWithPose': 'RIHS01_41c12344c0396c48b81df12467c192d99b2a0eb1463c5c37194e4223251c80bc',
    'Point2D': 'RIHS01_eab0e83f44ab4de92ceaf76dd7d0e7638f2bdd1d16ffbe16c7a136c48e407247',
    'Pose2D': 'RIHS01_b0b5d1d7b4c20dd4fcde3ed1d4b289a919290572007d67a97043814db25d3648',
    'VisionClass': 'RIHS01_1e4a11f0fed50b5623cb8ff26ca0e37952a48a9c074d16f804b44e9164c2037a',
}


@pytest.mark.parametrize('name', UPSTREAM_HASHES)
def test_the_installed_type_has_the_hash_of_the_real_package(name: str) -> None:
    description = Path(get_package_share_directory('vision_msgs'), 'msg', f'{name}.json').read_text(encoding='utf-8')
    hashes = {entry['type_name']: entry['hash_string'] for entry in json.loads(description)['type_hashes']}
    assert hashes[f'vision_msgs/msg/{name}'] == UPSTREAM_HASHES[name]


def test_every_definition_is_one_of_those(project_root: Path) -> None:
    folder = project_root / 'tools' / 'ros' / 'msgs' / 'vision_msgs' / 'msg'
    assert {path.stem for path in folder.glob('*.msg')} == set(UPSTREAM_HASHES)
