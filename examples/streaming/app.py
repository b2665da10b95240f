"""Text that comes word by word, from a very small language model: which word follows which in the Zen of Python."""

import asyncio
import codecs
import contextlib
import io
import random
from collections import defaultdict
from collections.abc import AsyncIterator

from anyserve import AnyServe, Context, ModelInferRequest, ModelInferResponse, Stream

SECONDS_PER_WORD = 0.05


def zen() -> str:
    with contextlib.redirect_stdout(io.StringIO()):
        import this
    return codecs.decode(this.s, "rot13")


class Bigrams:
    """Generates text in which each word follows the one before it somewhere in the text it learnt from."""

    def __init__(self, text: str) -> None:
        self._words = text.split()
        self._next: defaultdict[str, list[str]] = defaultdict(list)
        for word, follower in zip(self._words, self._words[1:], strict=False):
            self._next[word].append(follower)

    def step(self, word: str, dice: random.Random) -> str:
        return dice.choice(self._next.get(word) or self._words)


app = AnyServe()
model = Bigrams(zen())


def text(word: str) -> ModelInferResponse:
    response = ModelInferResponse()
    response.add_output("text", data=[word])
    return response


def asked(request: ModelInferRequest) -> tuple[str, int, random.Random]:
    prompt = request.get_input("text").bytes_contents[0].decode()
    parameters = request.parameters
    dice = random.Random(parameters.get("seed"))
    return (prompt.split() or [""])[-1], int(parameters.get("max_tokens", 20)), dice


@app.capability(type="chat", stream=True, slo=0.5)
def chat(request: ModelInferRequest, context: Context, stream: Stream) -> None:
    word, count, dice = asked(request)
    for _ in range(count):
        if context.cancelled:
            return
        word = model.step(word, dice)
        stream.send(text(word))


@app.capability(type="typewriter", concurrency=100)
async def typewriter(request: ModelInferRequest) -> AsyncIterator[ModelInferResponse]:
    """The same at the speed of a typist, for a hundred clients at once: while one waits, the others go on."""
    word, count, dice = asked(request)
    for _ in range(count):
        word = model.step(word, dice)
        await asyncio.sleep(SECONDS_PER_WORD)
        yield text(word)
