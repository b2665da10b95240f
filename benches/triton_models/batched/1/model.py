"""Triton's side of the batched echo: the cheapest handler its Python backend allows, as for the plain echo."""

from typing import Any

import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]


class TritonPythonModel:
    def execute(self, requests: list[Any]) -> list[Any]:
        return [
            pb_utils.InferenceResponse(
                output_tensors=[pb_utils.Tensor("OUT", pb_utils.get_input_tensor_by_name(request, "IN").as_numpy())]
            )
            for request in requests
        ]
