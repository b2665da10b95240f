"""The echo in batches: each request of a batch gets its inputs back, each as an output named OUT."""

from anyserve import AnyServe, ModelInferRequest, ModelInferResponse

app = AnyServe()


@app.capability(type="batched", max_batch_size=32)
def batched(requests: list[ModelInferRequest]) -> list[ModelInferResponse]:
    return [_echo(request) for request in requests]


def _echo(request: ModelInferRequest) -> ModelInferResponse:
    response = ModelInferResponse(model_name=request.model_name, id=request.id)
    for inp in request.inputs:
        out = response.add_output(name="OUT", datatype=inp.datatype, shape=inp.shape)
        out.contents = inp.contents
    return response
