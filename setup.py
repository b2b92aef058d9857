# SPDX-License-Identifier: Apache-2.0
"""Packaging of both halves: cast_ros for robots, cast_train (under train/) for those who teach a network."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

from setuptools import find_packages, setup

PACKAGE = 'cast_ros'
HERE = Path(__file__).resolve().parent
# The last one: what recipes start from, at the place that they name below the share folder as well.
SHARED_FOLDERS = ('launch', 'config', 'models', 'benchmarks/accuracy/start')
# Of everything that judges, records or repairs beside the robot. apsw, lz4, mcap and zstandard read what is left of a
# damaged bag, which rosbags refuses; jinja2 and plotly make the page of `cast replay`.
OFFLINE = (
    'apsw',
    'faster-coco-eval>=1.6',
    'jinja2>=3.1',
    'lz4',
    'mcap>=1.1',
    'plotly>=6',
    'rich',
    'rosbags>=0.11',
    'typer>=0.12',
    'zstandard',
)
MANIFEST = ElementTree.parse(HERE / 'package.xml').getroot()  # noqa: S314, our own file


def shared_files() -> list[tuple[str, list[str]]]:
    """Every file of the shared folders, at the same place below share/cast_ros."""
    folders: dict[str, list[str]] = {}
    for path in sorted(path for name in SHARED_FOLDERS for path in Path(name).rglob('*')):
        if path.is_file() and '__pycache__' not in path.parts:
            folders.setdefault(f'share/{PACKAGE}/{path.parent.as_posix()}', []).append(path.as_posix())
    return list(folders.items())


setup(
    name=PACKAGE,
    version=MANIFEST.findtext('version'),
    description='Instance masks, semantic map and metric depth from one small network, as a ROS 2 node',
    long_description=(HERE / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    author='cast_ros maintainers',
    author_email='cast_ros@example.com',
    maintainer='cast_ros maintainers',
    maintainer_email='cast_ros@example.com',
    license='Apache-2.0 AND CC-BY-NC-4.0',  # the second one: models/road-medium.onnx alone
    python_requires='>=3.10',
    packages=[
        *find_packages(include=[PACKAGE, f'{PACKAGE}.*']),
        *find_packages('train', include=['cast_train', 'cast_train.*']),
    ],
    package_dir={'cast_train': 'train/cast_train'},
    package_data={
        PACKAGE: ['py.typed', 'offline/templates/*', 'offline/replay/templates/*'],
        'cast_train': ['py.typed', 'methods/night/templates/*'],
    },
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{PACKAGE}']),
        (f'share/{PACKAGE}', ['package.xml']),
        (f'lib/{PACKAGE}', ['scripts/perception', 'scripts/play_bag']),
        *shared_files(),
    ],
    zip_safe=False,
    # colcon and rosdep do not read this list: there the python3-opencv of package.xml is used. Pip users get the
    # headless OpenCV: nothing here opens a window, and it needs no X libraries. Two OpenCV wheels in one environment
    # overwrite each other: who needs opencv-python or opencv-contrib-python beside cast_ros installs it with --no-deps.
    install_requires=['numpy>=1.26', 'opencv-python-headless>=4.6', 'pydantic>=2.5', 'pyyaml', 'simplejpeg>=1.7'],
    # cpu or gpu, never both: the two wheels share the folder onnxruntime/ and the one installed last breaks the other.
    extras_require={
        'cpu': ['onnxruntime>=1.17'],
        'gpu': ['onnxruntime-gpu>=1.17'],
        # The commands `cast` and `make demo`.
        'offline': [*OFFLINE],
        # ByteTrack is `trackers`, which asks for opencv-python beside our headless one: it is installed with --no-deps.
        'tracking': ['pydeprecate', 'requests', 'scipy', 'supervision>=0.31'],
        'train': [
            *OFFLINE,
            'lightning-fabric>=2.4',
            'onnx>=1.16',
            'onnxscript',
            'pillow',
            'safetensors',
            'scipy',
            'tensorboard',
            'timm>=1.0',
            'torch>=2.8',
            'torchvision>=0.23',
            'transformers>=5.0',
        ],
        # Blender as a module: wheels for Python 3.11 alone, and it wants numpy 1.26, so it gets its own environment.
        'render': ['OpenEXR>=3.3', 'bpy>=5.0,<5.1'],
        # Whose architectures benchmarks/speed exports and compares with; for nothing else. ultralytics (AGPL-3.0) is in
        # requirements/peers-without-dependencies.txt, and matplotlib, polars, psutil and requests are its imports.
        'peers': [
            'matplotlib',
            'onnx>=1.16',
            'polars',
            'psutil',
            'requests',
            'rfdetr==1.11.2',
            'timm==1.0.31',
            'torch==2.14.1',
            'torchvision==0.29.1',
            'transformers==5.23.0',
        ],
        'test': [
            'hypothesis',
            'mcap-ros2-support>=0.5',
            'mypy',
            'pillow',
            'playwright',
            'pyquaternion',
            'pytest>=8',
            'pytest-timeout',
            'ruff',
            'torchmetrics>=1.5',
            'types-PyYAML',
        ],
    },
    entry_points={
        'console_scripts': [
            'cast = cast_ros.cli:main',
            'cast-train = cast_train.cli:main',
        ],
    },
)
