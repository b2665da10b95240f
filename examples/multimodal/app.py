"""A picture goes through three workers by reference, and becomes a vector; texts become vectors too.

Each class is a pool of its own: its workers are other processes. What goes from one to the next is a reference to an
object in the agent's shared memory, in which the next one reads the pixels in place.
"""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from typing import Any

import anyserve
import numpy as np
from anyserve import AnyServe, Context, InferResult, ModelInferRequest, ModelInferResponse, ObjectRef, Tensor, Worker
from anyserve.errors import InvalidArgumentError, UnimplementedError

from examples.multimodal.models import IMAGE_DIMENSIONS, SIDE, Floats, TextModel, embed_image, open_picture, shrink

SECONDS_TO_REMEMBER = 3600

FILE = ("file", "UINT8", [-1])
IMAGE = ("image", "UINT8", [-1, -1, 3])
SMALL = ("image", "FP32", [SIDE, SIDE, 3])
IMAGE_VECTOR = ("embedding", "FP32", [IMAGE_DIMENSIONS])

app = AnyServe()


def answer(**outputs: Any) -> ModelInferResponse:
    response = ModelInferResponse()
    for name, data in outputs.items():
        response.add_output(name, data=data)
    return response


def array(request: ModelInferRequest, name: str, datatype: str, dimensions: int) -> np.ndarray[Any, Any]:
    """An input; one that came by reference is read where it lies."""
    tensor = request.get_input(name)
    if tensor.datatype != datatype or len(tensor.shape) != dimensions:
        found = f"{tensor.datatype} of {len(tensor.shape)}"
        raise InvalidArgumentError(f"{name} is {found} dimensions; it must be {datatype} of {dimensions}")
    return tensor.as_numpy()


@app.worker(capability={"type": "decode"}, inputs=[FILE], outputs=[IMAGE], idempotent=True, idle_timeout="1m")
class Decode(Worker):
    """The bytes of a JPEG or PNG become pixels."""

    def handle(self, request: ModelInferRequest, context: Context) -> ModelInferResponse:
        try:
            picture = open_picture(array(request, "file", "UINT8", 1))
        except ValueError as error:
            raise InvalidArgumentError(str(error)) from error
        pixels = anyserve.create_empty((picture.height, picture.width, 3), np.uint8)
        np.copyto(pixels.array, np.asarray(picture))
        return answer(image=pixels.seal())


@app.worker(capability={"type": "resize"}, inputs=[IMAGE], outputs=[SMALL], idempotent=True, idle_timeout="1m")
class Resize(Worker):
    """Pixels become as many as the embedding wants, with numbers from 0 to 1."""

    def handle(self, request: ModelInferRequest, context: Context) -> ModelInferResponse:
        image = array(request, "image", "UINT8", 3)
        if image.shape[2] != 3 or image.size == 0:
            raise InvalidArgumentError(f"image has shape {image.shape}; it must be (height, width, 3)")
        small = anyserve.create_empty((SIDE, SIDE, 3), np.float32)
        shrink(image, out=small.array)
        return answer(image=small.seal())


@app.worker(
    capability={"type": "embed", "of": "image"},
    inputs=[SMALL],
    outputs=[IMAGE_VECTOR],
    idempotent=True,
    idle_timeout="1m",
)
class EmbedImage(Worker):
    """A small picture becomes a vector, which is small enough to be sent as it is."""

    def handle(self, request: ModelInferRequest, context: Context) -> ModelInferResponse:
        image = array(request, "image", "FP32", 3)
        if image.shape != (SIDE, SIDE, 3):
            raise InvalidArgumentError(f"image has shape {image.shape}; it must be {(SIDE, SIDE, 3)}")
        return answer(embedding=embed_image(image))


@app.worker(
    capability={"type": "embed", "of": "text"},
    inputs=[("text", "BYTES", [-1])],
    outputs=[("embedding", "FP32", [-1, TextModel.DIMENSIONS])],
    idempotent=True,
    idle_timeout="1m",
)
class EmbedText(Worker):
    """Texts become vectors, one for each."""

    model: TextModel | None = None

    def on_start(self) -> None:
        try:
            self.model = TextModel()
        except ModuleNotFoundError as error:
            print(f"{error}: texts are refused")

    def handle(self, request: ModelInferRequest, context: Context) -> ModelInferResponse:
        if self.model is None:
            raise UnimplementedError("the model for texts is not installed here: pip install wordllama")
        texts = [text.decode() for text in array(request, "text", "BYTES", 1)]
        if not all(texts):
            raise InvalidArgumentError("text is empty")
        return answer(embedding=self.model.embed(texts))


@app.worker(
    capability={"type": "describe"},
    inputs=[FILE],
    outputs=[IMAGE_VECTOR, ("cached", "BOOL", [1])],
    concurrency=4,
    idempotent=True,
    idle_timeout="1m",
)
class Describe(Worker):
    """The whole way from a file to its vector. Files that were seen lately are not decoded again."""

    def handle(self, request: ModelInferRequest, context: Context) -> ModelInferResponse:
        key = f"embedding:{hashlib.sha256(array(request, 'file', 'UINT8', 1).data).hexdigest()}"
        known = anyserve.lookup(key)
        if known is not None:
            return answer(embedding=anyserve.get(known), cached=[True])
        vector = embed(request.get_input("file"))
        anyserve.create(vector, key=key, ttl=SECONDS_TO_REMEMBER)
        return answer(embedding=vector, cached=[False])


def embed(file: Tensor) -> Floats:
    """Asks one worker after the other. Only references go through this process."""
    with ExitStack() as done:
        decoded = anyserve.call("decode", {"file": file.object_ref or file.as_numpy()})
        image = reference(decoded, "image", done)
        small = reference(anyserve.call("resize", {"image": image}), "image", done)
        embedded = anyserve.call(capability={"type": "embed", "of": "image"}, inputs={"image": small})
        return np.asarray(embedded["embedding"])


def reference(result: InferResult, name: str, done: ExitStack) -> ObjectRef:
    """An output that came by reference; its object is deleted when all is done."""
    output = result[name]
    assert isinstance(output, ObjectRef)
    done.callback(anyserve.delete, output)
    return output
