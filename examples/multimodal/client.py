"""Sends a picture from worker to worker by reference, and compares some pictures and some texts.

python -m examples.multimodal.client [--endpoint HOST:PORT]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from anyserve import Client, InferResult, ObjectRef
from anyserve.errors import UnimplementedError

from examples.multimodal.models import Floats
from examples.multimodal.pictures import PICTURES, encoded

TIMEOUT = 60
"""Seconds: the first request of each kind waits until its worker has started."""

TEXTS = [
    "the sun sets behind the hills",
    "a mountain at sunset",
    "fir trees in a forest",
    "the lights of a city at night",
]


def file_of(name: str, seed: int) -> np.ndarray[Any, Any]:
    """The bytes of a JPEG, as the workers take them."""
    return np.frombuffer(encoded(PICTURES[name](seed)), np.uint8)


def timed(client: Client, inputs: Mapping[str, Any], **capability: str) -> tuple[InferResult, float]:
    """What comes back, and the milliseconds that it took."""
    started = time.perf_counter()
    result = client.infer(capability=capability, inputs=inputs, timeout=TIMEOUT)
    return result, (time.perf_counter() - started) * 1000


def size(count: int) -> str:
    return f"{count / 1024:.0f} KiB" if count < 1 << 20 else f"{count / (1 << 20):.1f} MiB"


def row(step: str, what: np.ndarray[Any, Any], took: float | None, reference: ObjectRef | str) -> None:
    shape = " x ".join(map(str, what.shape))
    spent = "" if took is None else f"{took:.1f} ms"
    print(f"{step:8} {what.dtype!s:8} {shape:16} {size(what.nbytes):>9} {spent:>10}  {reference}")


def step_by_step(client: Client, file: np.ndarray[Any, Any]) -> None:
    """Asks each worker in turn. What comes back from one is given to the next, and the pixels stay where they are."""
    sent = client.objects.create(file)
    row("file", file, None, sent)
    decoded = forward(client, "decode", {"file": sent})
    small = forward(client, "resize", {"image": decoded})
    result, took = timed(client, {"image": small}, type="embed", of="image")
    row("embed", np.asarray(result["embedding"]), took, "(the vector itself)")
    for reference in (sent, decoded, small):
        client.objects.delete(reference)


def forward(client: Client, step: str, inputs: Mapping[str, ObjectRef]) -> ObjectRef:
    """Asks one worker, and looks at what came back: only for that do the pixels come here."""
    result, took = timed(client, inputs, type=step)
    reference = result["image"]
    assert isinstance(reference, ObjectRef)
    row(step, np.asarray(client.objects.get(reference)), took, reference)
    return reference


def describe(client: Client, file: np.ndarray[Any, Any]) -> tuple[Floats, float, bool]:
    """The vector of a picture, the milliseconds that it took, and whether it was known."""
    sent = client.objects.create(file)
    result, took = timed(client, {"file": sent}, type="describe")
    client.objects.delete(sent)
    return np.asarray(result["embedding"]), took, bool(np.asarray(result["cached"])[0])


def similarities(names: Sequence[str], vectors: Floats) -> None:
    """A table of cosines: the vectors have length 1."""
    width = max(map(len, names))
    for index, (name, cosines) in enumerate(zip(names, vectors @ vectors.T, strict=True)):
        print(f"{name:{width}}" + "".join(f"{cosine:7.2f}" for cosine in cosines[: index + 1]))


def compare_texts(client: Client) -> None:
    try:
        result, _ = timed(client, {"text": TEXTS}, type="embed", of="text")
    except UnimplementedError as error:
        print(error)
    else:
        similarities(TEXTS, np.asarray(result["embedding"]))


def run(endpoint: str) -> None:
    files = {f"{name} {seed}": file_of(name, seed) for name in PICTURES for seed in (1, 2)}
    with Client(endpoint) as client:
        print("step by step")
        step_by_step(client, files["sunset 1"])
        print("\nin one request, which asks the others, twice")
        for _ in range(2):
            vector, took, known = describe(client, files["sunset 1"])
            row("describe", vector, took, "(known)" if known else "(computed)")
        print("\nhow alike the pictures are")
        similarities(list(files), np.stack([describe(client, file)[0] for file in files.values()]))
        print("\nhow alike the texts are")
        compare_texts(client)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--endpoint", default="localhost:8000")
    run(parser.parse_args().endpoint)


if __name__ == "__main__":
    main()
