"""What the benchmark streams: for an input N, that many responses, the numbers from 0 on, each as an output OUT."""

from collections.abc import Iterator

import numpy as np
from anyserve import AnyServe, ModelInferRequest, ModelInferResponse

app = AnyServe()


@app.capability(type="stream")
def stream(request: ModelInferRequest) -> Iterator[ModelInferResponse]:
    for number in range(int(request.get_input("N").as_numpy()[0])):
        response = ModelInferResponse()
        response.add_output("OUT", data=np.array([number], np.int32))
        yield response
