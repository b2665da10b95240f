"""Pools whose workers come from fork servers, or would."""

from __future__ import annotations

import os
import sys

from anyserve import AnyServe, ModelInferRequest, ModelInferResponse, Worker

app = AnyServe()


class Tells(Worker):
    """Says where it comes from."""

    def handle(self, request: ModelInferRequest) -> ModelInferResponse:
        response = ModelInferResponse()
        response.add_output("pid", data=[os.getpid()])
        response.add_output("parent", data=[os.getppid()])
        response.add_output("loaded", data=["json.tool" in sys.modules])
        response.add_output("group", data=[os.getpgid(0)])
        response.add_output("argv", data=[" ".join(sys.argv[1:])])
        response.add_output("mine", data=[os.environ.get("ANYSERVE_TEST_MINE", "")])
        response.add_output("descriptors", data=[len(os.listdir("/proc/self/fd"))])
        numpy = sys.modules.get("numpy")
        response.add_output("dice", data=[float(numpy.random.random()) if numpy else 0.0])
        return response


app.worker(capability={"type": "forked"}, name="forked", preload=["json.tool", "numpy"], max=3)(
    type("Forked", (Tells,), {})
)
app.worker(capability={"type": "executed"}, name="executed")(type("Executed", (Tells,), {}))
app.worker(capability={"type": "threaded"}, name="threaded", preload=["tests.apps.starts_a_thread"])(
    type("Threaded", (Tells,), {})
)
app.worker(capability={"type": "broken"}, name="broken", preload=["tests.apps.nothing_here"])(
    type("Broken", (Tells,), {})
)
