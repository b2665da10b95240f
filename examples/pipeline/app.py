"""A pipeline of three workers, each of which calls the next: tokenize -> analyze -> report."""

import re
from collections import Counter

from anyserve import AnyServe, Context, ModelInferRequest, ModelInferResponse, Worker

app = AnyServe()

WORD = re.compile(r"\w+")


def texts(request: ModelInferRequest, name: str) -> list[str]:
    """A BYTES input as strings."""
    return [element.decode() for element in request.get_input(name).bytes_contents]


@app.worker(capability={"type": "tokenize"}, concurrency=4)
class Tokenize(Worker):
    """The entrance: takes a text apart, and has the rest done by others."""

    def handle(self, request: ModelInferRequest, context: Context) -> ModelInferResponse:
        tokens = [word.lower() for text in texts(request, "text") for word in WORD.findall(text)]
        result = context.call(
            model_name="analyze",
            capability={"type": "analyze"},
            inputs={"tokens": [",".join(tokens)]},
        )
        response = ModelInferResponse()
        response.add_output("report", data=result["report"])
        response.add_output("tokens", data=[len(tokens)])
        return response


@app.worker(capability={"type": "analyze"}, concurrency=16)
class Analyze(Worker):
    """Counts the tokens. A coroutine: it has many requests under way, and waits for none of them."""

    async def handle(self, request: ModelInferRequest, context: Context) -> ModelInferResponse:
        tokens = [token for line in texts(request, "tokens") for token in line.split(",") if token]
        common = Counter(tokens).most_common(3)
        result = await context.acall(
            model_name="report",
            capability={"type": "report"},
            inputs={"words": [word for word, _ in common], "counts": [count for _, count in common]},
        )
        response = ModelInferResponse()
        response.add_output("report", data=result["report"])
        return response


@app.worker(capability={"type": "report"})
class Report(Worker):
    """Puts the counts into words."""

    def handle(self, request: ModelInferRequest) -> ModelInferResponse:
        counts = request.get_input("counts").as_numpy().tolist()
        lines = [f"{word}: {count}" for word, count in zip(texts(request, "words"), counts, strict=True)]
        response = ModelInferResponse()
        response.add_output("report", data=["\n".join(lines) or "(no words)"])
        return response
