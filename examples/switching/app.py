"""Three small language models, each in a pool of its own, that take turns on resources for one.

Each learns at its start which letter follows which seven, from a text that comes with Python. That takes a moment and
some memory, as loading a large model does.
"""

import builtins
import codecs
import contextlib
import io
import marshal
import pydoc_data.topics
import random
import zlib
from collections import defaultdict

from anyserve import AnyServe, Context, ModelInferRequest, ModelInferResponse, Worker

ORDER = 7

Table = dict[str, str]
"""Each seven letters, and the letters that follow them somewhere."""


def learn(text: str) -> Table:
    followers: defaultdict[str, list[str]] = defaultdict(list)
    for place in range(len(text) - ORDER):
        followers[text[place : place + ORDER]].append(text[place + ORDER])
    return {letters: "".join(following) for letters, following in followers.items()}


class Writer(Worker):
    """Goes on with a text in the manner of what it has learnt."""

    table: Table

    def corpus(self) -> str:
        raise NotImplementedError

    def on_start(self) -> None:
        self.table = learn(self.corpus())
        self.beginnings = sorted(self.table)

    def handle(self, request: ModelInferRequest, context: Context) -> ModelInferResponse:
        prompt = request.get_input("text").bytes_contents[0].decode()
        length = int(request.parameters.get("max_letters", 60))
        dice = random.Random(request.parameters.get("seed"))
        text = prompt if prompt[-ORDER:] in self.table else prompt + dice.choice(self.beginnings)
        for _ in range(length):
            text += dice.choice(self.table.get(text[-ORDER:]) or " ")
        response = ModelInferResponse()
        response.add_output("text", data=[text[len(prompt) :]])
        return response


app = AnyServe()


@app.worker(capability={"type": "write", "model": "zen"}, resources={"slots": 1}, idempotent=True)
class Zen(Writer):
    """The Zen of Python: small, and quick to start."""

    def corpus(self) -> str:
        with contextlib.redirect_stdout(io.StringIO()):
            import this
        return codecs.decode(this.s, "rot13")


@app.worker(capability={"type": "write", "model": "lawyer"}, resources={"slots": 1}, idempotent=True)
class Lawyer(Writer):
    """Python's licence."""

    def corpus(self) -> str:
        printer = builtins.license
        printer._Printer__setup()  # type: ignore[attr-defined]
        return "\n".join(printer._Printer__lines)  # type: ignore[attr-defined]


@app.worker(capability={"type": "write", "model": "teacher"}, resources={"slots": 1}, idempotent=True)
class Teacher(Writer):
    """The reference of the language: the largest, so that it sleeps rather than stops."""

    def corpus(self) -> str:
        return "\n".join(pydoc_data.topics.topics.values())

    def on_sleep(self, level: int) -> None:
        # Little is kept, and what took longest need not be done again.
        self.asleep = zlib.compress(marshal.dumps(self.table), level=1)
        del self.table

    def on_wake(self) -> None:
        self.table = marshal.loads(zlib.decompress(self.asleep))
        del self.asleep
