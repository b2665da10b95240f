"""One capability, served by as many replicas as are started."""

import time

from anyserve import AnyServe, ModelInferRequest, ModelInferResponse

app = AnyServe()


@app.capability(type="echo", idempotent=True)
def echo(request: ModelInferRequest) -> ModelInferResponse:
    """Sends its text back, after a while. That it is idempotent lets a client ask another replica if one is lost."""
    time.sleep(0.01)
    response = ModelInferResponse(model_name=request.model_name, id=request.id)
    response.add_output("text", data=request.get_input("text").bytes_contents)
    return response
