"""What the agents serve: replace it by your own, or put that into the image."""

from anyserve import AnyServe, ModelInferRequest, ModelInferResponse

app = AnyServe()


@app.capability(type="echo", idempotent=True)
def echo(request: ModelInferRequest) -> ModelInferResponse:
    response = ModelInferResponse(model_name=request.model_name, id=request.id)
    for tensor in request.inputs:
        output = response.add_output(name=f"output_{tensor.name}", datatype=tensor.datatype, shape=tensor.shape)
        output.contents = tensor.contents
    return response
