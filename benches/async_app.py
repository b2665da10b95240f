"""The echo of ``echo_app`` as a coroutine, in an app of its own: one async handler puts sync ones on threads."""

from anyserve import AnyServe, ModelInferRequest, ModelInferResponse

app = AnyServe()


@app.capability(type="aecho", concurrency=64)
async def aecho(request: ModelInferRequest) -> ModelInferResponse:
    response = ModelInferResponse(model_name=request.model_name, id=request.id)
    for inp in request.inputs:
        out = response.add_output(name="OUT", datatype=inp.datatype, shape=inp.shape)
        out.contents = inp.contents
    return response
