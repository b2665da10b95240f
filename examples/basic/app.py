"""Two capabilities: echo sends its inputs back, add sums two arrays."""

from anyserve import AnyServe, ModelInferRequest, ModelInferResponse
from anyserve.errors import InvalidArgumentError

app = AnyServe()


@app.capability(type="echo", idempotent=True)
def echo_handler(request: ModelInferRequest) -> ModelInferResponse:
    response = ModelInferResponse(model_name=request.model_name, id=request.id)
    for inp in request.inputs:
        out = response.add_output(name=f"output_{inp.name}", datatype=inp.datatype, shape=inp.shape)
        out.contents = inp.contents
    return response


@app.capability(
    type="add",
    idempotent=True,
    inputs=[("a", "FP64", [-1]), ("b", "FP64", [-1])],
    outputs=[("sum", "FP64", [-1])],
)
def add_handler(request: ModelInferRequest) -> ModelInferResponse:
    a = request.get_input("a").as_numpy()
    b = request.get_input("b").as_numpy()
    if a.shape != b.shape:
        raise InvalidArgumentError(f"a has shape {a.shape}, b has shape {b.shape}; they must be equal")
    response = ModelInferResponse(model_name=request.model_name, id=request.id)
    response.add_output(name="sum", data=a + b)
    return response
