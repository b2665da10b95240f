"""What the benchmark serves: the inputs come back, each as an output named OUT."""

from anyserve import AnyServe, ModelInferRequest, ModelInferResponse

app = AnyServe()


@app.capability(type="echo", idempotent=True)
def echo(request: ModelInferRequest) -> ModelInferResponse:
    response = ModelInferResponse(model_name=request.model_name, id=request.id)
    for inp in request.inputs:
        out = response.add_output(name="OUT", datatype=inp.datatype, shape=inp.shape)
        out.contents = inp.contents
    return response
