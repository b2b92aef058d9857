# SPDX-License-Identifier: Apache-2.0
"""Two processes learn what one learns: the same batches, losses, averages and metrics."""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from drawn_streets import draw_streets
from timm.layers import BatchNormAct2d
from tiny_recipe import recipe_document

from cast_train.engine.checkpoint import load_checkpoint
from cast_train.engine.norms import share_norms
from cast_train.methods.cast.pixel_contrast import encode_strong
from cast_train.models import StudentNetwork

LAUNCH = 'from cast_train.cli import main; main()'


def free_port() -> int:
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        return int(free.getsockname()[1])


def fit(recipe: Path, run: Path, processes: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`cast-train run`, each process with the environment that torchrun would give it; the output is the first's."""
    command = [sys.executable, '-c', LAUNCH, 'run', str(recipe), '--out', str(run), *arguments]
    shared = os.environ | {'OMP_NUM_THREADS': '1', 'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': str(free_port())}
    shared |= {'WORLD_SIZE': str(processes), 'LOCAL_WORLD_SIZE': str(processes), 'TORCHELASTIC_RUN_ID': 'test'}
    shared |= {'GROUP_RANK': '0', 'TORCHELASTIC_MAX_RESTARTS': '0'}
    started = [
        subprocess.Popen(
            command,
            env=shared | {'RANK': str(rank), 'LOCAL_RANK': str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]
    outputs = [process.communicate(timeout=280) for process in started]
    return subprocess.CompletedProcess(command, max(process.returncode for process in started), *outputs[0])


def curve(run: Path, name: str) -> list[float]:
    records = [json.loads(line) for line in (run / 'log.jsonl').read_text().splitlines()]
    return [record[name] for record in records if name in record]


@pytest.mark.timeout(600)
def test_two_processes_agree_with_one(tmp_path: Path) -> None:
    draw_streets(tmp_path / 'streets', 'train', 'day', frames=3)
    recipe = tmp_path / 'recipe.yaml'
    # Slow and in double precision: an untrained decoder turns rounding into other peaks and matches, and AdamW's first
    # steps turn gradients near zero into whole steps of either sign.
    optimizer = {'warmup_steps': 0, 'ema_decay': 0.5, 'learning_rate': 1e-5}
    document = recipe_document(tmp_path / 'streets', 4, batch=4, optimizer=optimizer)
    document['run']['precision'] = 'float64'
    recipe.write_text(yaml.safe_dump(document))
    alone, pair = tmp_path / 'alone', tmp_path / 'pair'
    results = [fit(recipe, run, count) for run, count in ((alone, 1), (pair, 2))]
    assert all(result.returncode == 0 for result in results), results
    assert '2 processes on cpu' in results[1].stderr
    assert curve(pair, 'total') == pytest.approx(curve(alone, 'total'), rel=1e-4)
    # Of the first step only: later a peak or a match may flip by rounding, which the loss hardly feels.
    assert curve(pair, 'gradient_norm')[0] == pytest.approx(curve(alone, 'gradient_norm')[0], rel=1e-3)
    one, other = (load_checkpoint(run / 'last.pt') for run in (alone, pair))
    assert one['ema_updates'] == other['ema_updates'] == 4
    for key in ('network', 'ema'):
        for name, tensor in one[key].items():
            if tensor.is_floating_point():
                distance = (other[key][name] - tensor).norm() / tensor.norm().clamp(min=1)
                assert distance < 1e-4, (key, name, distance)
            else:
                assert torch.equal(other[key][name], tensor)
    metrics = [
        {name: float(value) for name, value in zip(words[::2], words[1::2], strict=True)}
        for words in (result.stdout.split() for result in results)
    ]
    assert metrics[1] == pytest.approx(metrics[0], abs=1e-3)


def norm_of(pictures: torch.Tensor, norm: torch.nn.Module) -> list[torch.Tensor]:
    """Output, gradients and statistics of a norm with some slope behind it."""
    pictures = pictures.clone().requires_grad_()
    output = norm(pictures)
    (output.sin() * output).sum().backward()
    parameters = [parameter.grad for parameter in norm.parameters()]
    statistics = [buffer.clone() for buffer in norm.buffers()]
    return [output.detach(), pictures.grad, *parameters, *statistics]  # type: ignore[list-item]


def make_norm(double_pictures: torch.Tensor) -> torch.nn.BatchNorm2d:
    norm = BatchNormAct2d(double_pictures.shape[1], act_layer=torch.nn.ReLU).double()
    torch.nn.init.uniform_(norm.weight, generator=torch.Generator().manual_seed(1))
    return norm


def norm_in_rank(rank: int, port: int, pictures: torch.Tensor, results: Any) -> None:
    torch.set_num_threads(1)
    address = f'tcp://127.0.0.1:{port}'
    torch.distributed.init_process_group('gloo', init_method=address, rank=rank, world_size=2)
    shared = torch.nn.Sequential(make_norm(pictures))
    share_norms(shared)
    found = norm_of(pictures[2 * rank : 2 * rank + 2], shared)
    results.put((rank, [tensor.numpy() for tensor in found]))


def test_a_norm_over_two_processes_is_the_norm_of_the_whole_batch() -> None:
    pictures = torch.randn(4, 3, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) * 3 + 1
    output, slope, weight, bias, mean, variance, count = norm_of(pictures, make_norm(pictures))
    context = multiprocessing.get_context('fork')
    results = context.Queue()
    port = free_port()
    ranks = [context.Process(target=norm_in_rank, args=(rank, port, pictures, results)) for rank in (0, 1)]
    for process in ranks:
        process.start()
    found = dict(results.get(timeout=120) for _ in ranks)
    for process in ranks:
        process.join()
    parts = [[torch.from_numpy(array) for array in found[rank]] for rank in (0, 1)]
    near = {'rtol': 1e-9, 'atol': 1e-12}
    torch.testing.assert_close(torch.cat([part[0] for part in parts]), output, **near)
    torch.testing.assert_close(torch.cat([part[1] for part in parts]), slope, **near)
    torch.testing.assert_close(parts[0][2] + parts[1][2], weight, **near)
    torch.testing.assert_close(parts[0][3] + parts[1][3], bias, **near)
    for part in parts:
        torch.testing.assert_close(part[4], mean, **near)
        torch.testing.assert_close(part[5], variance, **near)
        assert part[6] == count == 1


def student_in_training() -> StudentNetwork:
    torch.manual_seed(3)
    return StudentNetwork('nano', 4, (2, 3)).double().train()


def strong_in_rank(rank: int, port: int, pictures: torch.Tensor, results: Any) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group('gloo', init_method=f'tcp://127.0.0.1:{port}', rank=rank, world_size=2)
    student = student_in_training()
    share_norms(student)
    before = [buffer.clone() for buffer in student.buffers()]
    features = encode_strong(student, pictures[2 * rank : 2 * rank + 2])[-1]
    kept = all(torch.equal(old, new) for old, new in zip(before, student.buffers(), strict=True))
    results.put((rank, (features.numpy(), kept)))


def test_strong_views_leave_no_trace_in_norms_over_two_processes() -> None:
    pictures = torch.rand(4, 3, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(4)) * 255
    context = multiprocessing.get_context('fork')
    results = context.Queue()
    port = free_port()
    ranks = [context.Process(target=strong_in_rank, args=(rank, port, pictures, results)) for rank in (0, 1)]
    for process in ranks:
        process.start()
    found = dict(results.get(timeout=60) for _ in ranks)
    for process in ranks:
        process.join()
    assert found[0][1]
    assert found[1][1]
    parts = torch.cat([torch.from_numpy(found[rank][0]) for rank in (0, 1)])
    whole = encode_strong(student_in_training(), pictures)[-1]
    torch.testing.assert_close(parts, whole, rtol=1e-6, atol=1e-8)
