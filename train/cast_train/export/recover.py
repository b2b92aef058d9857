# SPDX-License-Identifier: Apache-2.0
"""An exported student turned back into a network that can learn on.

The export folds batch norms into the convolutions before them, and turns weights of linear layers around. What became
of each weight is seen by exporting a network of known weights: the same code gives the same graph, node by node. A
folded norm comes back as one that changes nothing, with the statistics of real pictures, so that it also changes
nothing while training, when norms look at their own batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from cast_ros.student import InputGeometry, Student, StudentContract
from cast_train.data import Sample
from cast_train.errors import ExportError
from cast_train.export.onnx import trace
from cast_train.export.parity import check_parity
from cast_train.models import SIZES, StudentNetwork
from cast_train.models.graph import TorchStudent

# The export computes SwinV2's position biases once and for all; the weights that they came from are not in the file.
RECOVERABLE = tuple(name for name, widths in SIZES.items() if widths.has_queries)
CALIBRATION_PICTURES, COMPARED_PICTURES = 32, 4


class Placed(NamedTuple):
    """One constant of a graph: what uses it, and its values."""

    operator: str
    values: npt.NDArray[np.generic]


def recover_student(path: Path, pictures: Sequence[Sample]) -> tuple[StudentNetwork, StudentContract]:
    """Return the network of an exported student, in evaluation mode, and its contract.

    Args:
        path: an ONNX file that ``cast-train export`` wrote.
        pictures: such as it knows; the first few give the norms their statistics and prove that nothing was lost.

    Raises:
        StudentError: the file is no student.
        ExportError: its graph is that of no size known here, or the network answers otherwise than the file.
    """
    with Student.load(path) as exported:
        contract = exported.contract
    constants = list(_constants(onnx.load(str(path))))
    for size in RECOVERABLE:
        network = _known_weights(size, contract)
        own = list(_constants(trace(network, contract)))
        if [(one.operator, one.values.shape) for one in own] == [(one.operator, one.values.shape) for one in constants]:
            _take_over(network, own, constants)
            inputs = _inputs(pictures[:CALIBRATION_PICTURES], contract)
            _require_same(path, network, contract, pictures[:COMPARED_PICTURES])
            _calibrate(network, inputs)
            _require_same(path, network, contract, pictures[:COMPARED_PICTURES])
            return network.eval(), contract
    raise ExportError(
        f'{path}: its graph is that of none of {", ".join(RECOVERABLE)} as this version exports them; start from the '
        'checkpoint of its run'
    )


def _constants(model: onnx.ModelProto) -> Iterator[Placed]:
    """The floating-point initializers in the order in which nodes use them, each once."""
    values = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            array = values.pop(name, None)
            if array is not None and array.dtype.kind == 'f' and array.ndim:
                yield Placed(f'{node.op_type}.{place}', array)


def _known_weights(size: str, contract: StudentContract) -> StudentNetwork:
    """A network whose weights are all different, but for the scale of its norms, which is one."""
    generator = torch.Generator().manual_seed(0)
    network = StudentNetwork(size, len(contract.classes), contract.thing_ids).eval()
    scales = {f'{name}.weight' for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)}
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name not in scales:
                parameter.normal_(generator=generator)
    return network


@torch.no_grad()
def _take_over(network: StudentNetwork, own: list[Placed], found: list[Placed]) -> None:
    """Give every parameter the values that stand in its place in the file; norms then only add."""
    known = {name: parameter.detach().clone().numpy() for name, parameter in network.named_parameters()}
    parameters = dict(network.named_parameters())
    for mine, theirs in zip(own, found, strict=True):
        name, is_turned = _origin(mine.values, known)
        if name is not None:
            values = torch.from_numpy(theirs.values.copy())
            parameters[name].copy_(values.T if is_turned else values.view_as(parameters[name]))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.fill_((1 + module.eps) ** 0.5)


def _origin(values: npt.NDArray[np.generic], known: dict[str, npt.NDArray[np.float32]]) -> tuple[str | None, bool]:
    """The parameter with these values, and whether it was turned around; none for a constant of the code."""
    for name, own in known.items():
        if own.size != values.size:
            continue
        if np.allclose(own.ravel(), values.ravel(), rtol=1e-4):
            return name, False
        if own.T.shape == values.shape and np.allclose(own.T, values, rtol=1e-4):
            return name, True
    return None, False


def _norm_after(network: StudentNetwork) -> dict[str, nn.BatchNorm2d]:
    """Name of each convolution whose output goes into a batch norm, and that norm."""
    produced: dict[int, str] = {}
    kept: list[Tensor] = []
    found: dict[str, nn.BatchNorm2d] = {}
    handles = []

    def note(name: str, module: nn.Module) -> None:
        def after(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if isinstance(module, nn.BatchNorm2d) and id(inputs[0]) in produced:
                found[produced[id(inputs[0])]] = module
            kept.append(output)  # alive, so that no other tensor gets its identity
            produced[id(output)] = name

        handles.append(module.register_forward_hook(after))

    for name, module in network.named_modules():
        if isinstance(module, (nn.Conv2d, nn.BatchNorm2d)):
            note(name, module)
    network(torch.zeros(1, 3, 64, 64))
    for handle in handles:
        handle.remove()
    return found


def _inputs(pictures: Sequence[Sample], contract: StudentContract) -> list[npt.NDArray[np.uint8]]:
    if not pictures:
        raise ExportError('a student cannot be recovered without a picture; name a source with pictures')
    found = []
    for sample in pictures:
        height, width = sample.image.shape[:2]
        found.append(InputGeometry.for_image(height, width, contract.input).to_network(sample.image))
    return found


@torch.no_grad()
def _calibrate(network: StudentNetwork, inputs: list[npt.NDArray[np.uint8]]) -> None:
    """Norms that change nothing get mean and variance of the pictures, and as scale and shift what undoes them."""
    batch = torch.from_numpy(np.stack(inputs)).permute(0, 3, 1, 2).float()
    norms = list(_norm_after(network).values())
    seen: dict[nn.BatchNorm2d, tuple[Tensor, Tensor]] = {}

    def note(module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(module, nn.BatchNorm2d)
        seen[module] = output.var((0, 2, 3), correction=0), output.mean((0, 2, 3))

    handles = [norm.register_forward_hook(note) for norm in norms]
    network(batch)
    for handle in handles:
        handle.remove()
    for norm, (variance, mean) in seen.items():
        # The norm's input is its output less the shift: what it added, the mean now has to take away again.
        shift = norm.bias.clone()
        norm.running_mean, norm.running_var = mean - shift, variance
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.copy_(mean)


def _require_same(path: Path, network: StudentNetwork, contract: StudentContract, pictures: Sequence[Sample]) -> None:
    """Raise ``ExportError`` unless the network answers as the file does, but for rounding."""
    error = check_parity(path, TorchStudent(network, contract), pictures).unexplained
    if error is not None:
        raise ExportError(
            f'{path}: the network made from it answers otherwise, by {error}; start from the checkpoint of its run'
        )
