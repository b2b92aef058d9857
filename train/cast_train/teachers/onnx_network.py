# SPDX-License-Identifier: Apache-2.0
"""An ONNX file of others: opened with care, fed with pictures in its own layout."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from cast_ros.errors import StudentError
from cast_ros.student.onnx_file import read_onnx_file
from cast_train.errors import TeacherError


class OnnxNetwork:
    """One input of one RGB picture, one output.

    Args:
        path: an ONNX file with all its weights in it.

    Attributes:
        height, width: of its input.
        parameters_m: millions of them.

    Raises:
        TeacherError: missing, too large, no ONNX, with data outside of the file, or of another form.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            content = read_onnx_file(path, 'teacher').content
            model = onnx.load_model_from_string(content)
        except StudentError as error:
            raise TeacherError(str(error)) from error
        except Exception as error:  # of protobuf, which has no public error
            raise TeacherError(f'{path}: is no ONNX file ({error}); export or copy it again') from error
        self.parameters_m = sum(int(np.prod(tensor.dims)) for tensor in model.graph.initializer) / 1e6
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=['CPUExecutionProvider'])
        except Exception as error:  # onnxruntime raises classes of its own binding
            raise TeacherError(f'{path}: onnxruntime does not open it: {error}') from error
        inputs = self._session.get_inputs()
        shape = inputs[0].shape
        self._is_first = len(shape) == 4 and shape[1] == 3
        sizes = shape[2:] if self._is_first else shape[1:3]
        fixed = (
            len(shape) == 4
            and shape[0] == 1
            and 3 in (shape[1], shape[3])
            and all(isinstance(size, int) for size in sizes)
        )
        if len(inputs) != 1 or not fixed or inputs[0].type not in ('tensor(uint8)', 'tensor(float)'):
            forms = ', '.join(f'{entry.name} {entry.type} {entry.shape}' for entry in inputs)
            raise TeacherError(f'{path}: takes {forms}; wanted is one picture 1×3×H×W or 1×H×W×3 of a fixed size')
        self.height, self.width = sizes
        self._input, self._is_uint8 = inputs[0].name, inputs[0].type == 'tensor(uint8)'

    def run(
        self,
        image: npt.NDArray[np.uint8],
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
        colors: str,
    ) -> npt.NDArray[np.generic]:
        """Its first output for an H×W×3 RGB picture, stretched to its input; mean and std are for floats in 0…1."""
        small = cv2.resize(image, (self.width, self.height), interpolation=cv2.INTER_AREA)
        pixels: npt.NDArray[np.generic] = small[..., ::-1] if colors == 'bgr' else small
        if not self._is_uint8:
            fractions = pixels.astype(np.float32) / 255
            pixels = (fractions - np.array(mean, np.float32)) / np.array(std, np.float32)
        return self.raw(pixels)

    def raw(self, pixels: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """Its first output for H×W×3 numbers of its own size, 0…255 where it takes uint8."""
        batch = (pixels.transpose(2, 0, 1) if self._is_first else pixels)[None]
        wanted = np.ascontiguousarray(batch, np.uint8 if self._is_uint8 else np.float32)
        try:
            answer: npt.NDArray[np.generic] = self._session.run(None, {self._input: wanted})[0]
        except Exception as error:  # onnxruntime raises classes of its own binding
            raise TeacherError(f'{self.path}: does not answer an image: {error}') from error
        return answer
