"""A handler that takes its time over large tensors."""

from __future__ import annotations

import time
import zlib

from anyserve import AnyServe, ModelInferRequest, ModelInferResponse

app = AnyServe()


@app.capability(type="checksum")
def checksum(request: ModelInferRequest) -> ModelInferResponse:
    """The checksum of each input, after a while."""
    time.sleep(float(request.parameters.get("seconds", 0)))
    response = ModelInferResponse()
    response.add_output("checksums", data=[zlib.crc32(bytes(tensor.raw)) for tensor in request.inputs])
    return response
