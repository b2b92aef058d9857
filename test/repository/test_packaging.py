# SPDX-License-Identifier: Apache-2.0
"""What an installation contains, and that package.xml and setup.py tell the truth."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from email import message_from_string
from pathlib import Path

import pytest
from setup_environment import installed_files

import cast_ros

SITE_PACKAGES = f'lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages'


def tracked_files(root: Path, *folders: str) -> list[str]:
    """Files of these folders that belong to the project, new ones included."""
    command = ['git', 'ls-files', '--cached', '--others', '--exclude-standard', *folders]
    listed = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.splitlines()
    return [name for name in listed if (root / name).exists()]


@pytest.fixture(scope='module')
def manifest(project_root: Path) -> ElementTree.Element:
    return ElementTree.parse(project_root / 'package.xml').getroot()


def test_launch_files_parameters_and_models_are_installed(installed_prefix: Path, project_root: Path) -> None:
    files = tracked_files(project_root, 'launch', 'config', 'models')
    assert 'launch/perception.launch.py' in files
    assert 'config/perception.yaml' in files
    share = installed_prefix / 'share' / 'cast_ros'
    for name in files:
        assert (share / name).read_bytes() == (project_root / name).read_bytes(), name


def test_ros_finds_the_package_and_its_executable(installed_prefix: Path) -> None:
    assert (installed_prefix / 'share/ament_index/resource_index/packages/cast_ros').is_file()
    assert (installed_prefix / 'share/cast_ros/package.xml').is_file()
    assert os.access(installed_prefix / 'lib/cast_ros/perception', os.X_OK)
    assert os.access(installed_prefix / 'lib/cast_ros/play_bag', os.X_OK)


def test_both_import_packages_and_both_commands_are_installed(installed_prefix: Path, project_root: Path) -> None:
    modules = installed_prefix / SITE_PACKAGES
    for source in (*project_root.glob('cast_ros/**/*.py'), *project_root.glob('train/cast_train/**/*.py')):
        name = source.relative_to(
            project_root / ('train' if 'train' in source.relative_to(project_root).parts else '.')
        )
        assert (modules / name).is_file(), name
    assert not (modules / 'train').exists()
    assert (modules / 'cast_ros' / 'py.typed').is_file()
    assert os.access(installed_prefix / 'bin/cast', os.X_OK)
    assert os.access(installed_prefix / 'bin/cast-train', os.X_OK)


def test_the_development_environment_links_what_pip_installs(installed_prefix: Path, project_root: Path) -> None:
    files = {path.relative_to(installed_prefix).as_posix() for path in installed_prefix.rglob('*') if path.is_file()}
    ours = {name for name in files if not name.startswith((SITE_PACKAGES, 'bin/')) and '__pycache__' not in name}
    assert ours == set(installed_files(project_root))


@pytest.mark.parametrize('beside', [True, False])
def test_the_executable_takes_the_python_of_its_prefix_or_else_of_the_path(
    installed_prefix: Path, tmp_path: Path, beside: bool
) -> None:
    script = tmp_path / 'prefix/lib/cast_ros/perception'
    script.parent.mkdir(parents=True)
    script.write_bytes((installed_prefix / 'lib/cast_ros/perception').read_bytes())
    script.chmod(0o755)
    for name, wanted in (('prefix/bin', beside), ('path', True)):
        if wanted:
            python = tmp_path / name / 'python3'
            python.parent.mkdir(parents=True)
            python.write_text(f'#!/bin/sh\necho {name} "$@"\n')
            python.chmod(0o755)
    done = subprocess.run(
        [script, '--ros-args', '-p', 'model:=a b'],
        env={'PATH': f'{tmp_path / "path"}:{os.environ["PATH"]}'},
        capture_output=True,
        text=True,
        check=True,
    )
    origin = 'prefix/bin' if beside else 'path'
    assert done.stdout == f'{origin} -m cast_ros.nodes --ros-args -p model:=a b\n'


def test_the_heavy_libraries_are_extras(installed_prefix: Path) -> None:
    metadata_file = next((installed_prefix / SITE_PACKAGES).glob('cast_ros-*.dist-info/METADATA'))
    metadata = message_from_string(metadata_file.read_text(encoding='utf-8'))
    requirements = metadata.get_all('Requires-Dist', [])
    always = {requirement for requirement in requirements if 'extra ==' not in requirement}
    names = {re.split('[^a-z-]', requirement.lower())[0] for requirement in always}
    assert names == {'numpy', 'opencv-python-headless', 'pydantic', 'pyyaml', 'simplejpeg'}
    assert sorted(metadata.get_all('Provides-Extra', [])) == [
        'cpu',
        'gpu',
        'offline',
        'peers',
        'render',
        'test',
        'tracking',
        'train',
    ]
    assert [name for name in requirements if name.startswith('onnxruntime') and 'extra == "cpu"' in name]
    assert [name for name in requirements if name.startswith('onnxruntime-gpu') and 'extra == "gpu"' in name]
    assert 'Apache-2.0 AND CC-BY-NC-4.0' in (metadata['License'], metadata['License-Expression'])


def test_the_manifest_is_a_format_3_python_package(manifest: ElementTree.Element) -> None:
    assert manifest.get('format') == '3'
    assert manifest.findtext('name') == 'cast_ros'
    licences = {entry.text: entry.get('file') for entry in manifest.findall('license')}
    assert licences == {'Apache-2.0': 'LICENSE', 'CC-BY-NC-4.0': 'models/road-medium.md'}
    assert manifest.findtext('export/build_type') == 'ament_python'


def test_one_version_everywhere(manifest: ElementTree.Element, installed_prefix: Path, project_root: Path) -> None:
    version = manifest.findtext('version')
    assert cast_ros.__version__ == version
    assert (installed_prefix / SITE_PACKAGES / f'cast_ros-{version}.dist-info').is_dir()
    assert f'## [{version}]' in (project_root / 'CHANGELOG.md').read_text(encoding='utf-8')


def test_the_manifest_declares_every_ros_package_that_is_imported(
    manifest: ElementTree.Element, project_root: Path
) -> None:
    imported = set()
    for path in (*project_root.glob('cast_ros/**/*.py'), *project_root.glob('launch/*.py')):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.Import):
                imported.update(alias.name.partition('.')[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                imported.add(node.module.partition('.')[0])
    ros = {name for name in imported if name.endswith(('_msgs', '_interfaces'))}
    ros |= imported & {'rclpy', 'ament_index_python', 'launch', 'launch_ros'}
    declared = {element.text for tag in ('depend', 'exec_depend') for element in manifest.iter(tag)}
    assert ros <= declared
    assert 'cv_bridge' in declared
