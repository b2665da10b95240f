"""Pools that come and go: workers that are executed or forked, two that sleep and wake, two that do not."""

from __future__ import annotations

from anyserve import AnyServe, ModelInferRequest, ModelInferResponse, Worker

app = AnyServe()


class Echo(Worker):
    """Answers with what it is sent."""

    def handle(self, request: ModelInferRequest) -> ModelInferResponse:
        response = ModelInferResponse()
        for tensor in request.inputs:
            response.add_output(tensor.name, tensor.datatype, tensor.shape).contents = tensor.contents
        return response


class Sleeper(Echo):
    """Sleeps, and has nothing to give back."""

    def on_sleep(self, level: int) -> None:
        pass

    def on_wake(self) -> None:
        pass


class Numpy(Echo):
    """Needs numpy, as a worker that computes does."""

    def on_start(self) -> None:
        import numpy

        self.zeros = numpy.zeros(1)


def turns(slot: str) -> dict[str, object]:
    """The options of pools that take turns on one resource."""
    return {"resources": {slot: 1}, "min_residence": 0}


app.worker(capability={"type": "executed"}, name="executed")(type("Executed", (Echo,), {}))
app.worker(capability={"type": "executed-numpy"}, name="executed-numpy")(type("ExecutedNumpy", (Numpy,), {}))
app.worker(capability={"type": "forked-numpy"}, name="forked-numpy", preload=["numpy"])(type("Forked", (Numpy,), {}))
for number in (1, 2):
    app.worker(capability={"type": f"sleeper-{number}"}, name=f"sleeper-{number}", **turns("bed"))(  # type: ignore[arg-type]
        type(f"Sleeper{number}", (Sleeper,), {})
    )
    app.worker(capability={"type": f"starter-{number}"}, name=f"starter-{number}", **turns("seat"))(  # type: ignore[arg-type]
        type(f"Starter{number}", (Echo,), {})
    )
