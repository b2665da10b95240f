"""examples/multimodal: a picture goes from worker to worker by reference, and what comes out is right."""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from anyserve import Client, ObjectRef
from anyserve.errors import InvalidArgumentError, UnimplementedError

from examples.multimodal.models import IMAGE_DIMENSIONS, SIDE, TextModel, embed_image, open_picture, shrink, unit
from examples.multimodal.pictures import HEIGHT, PICTURES, WIDTH, encoded
from tests.server import ROOT, Server
from tests.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from anyserve import InferResult

    from tests.conftest import Serve

    Array = np.ndarray[Any, Any]

TARGET = "examples.multimodal.app:app"

needs_text_model = pytest.mark.skipif(
    importlib.util.find_spec("wordllama") is None, reason="the model for texts is missing: pip install wordllama"
)


def file_of(name: str, seed: int = 1, kind: str = "JPEG") -> Array:
    return np.frombuffer(encoded(PICTURES[name](seed), kind), np.uint8)


def embedded(file: Array) -> Array:
    """The vector of a picture, computed here."""
    small = np.empty((SIDE, SIDE, 3), np.float32)
    shrink(np.asarray(open_picture(file)), out=small)
    return embed_image(small)


# What the workers compute.


def test_a_png_is_decoded_to_the_pixels_that_were_drawn() -> None:
    pixels = np.asarray(open_picture(file_of("city", kind="PNG")))
    np.testing.assert_array_equal(pixels, np.asarray(PICTURES["city"](1)))


@pytest.mark.parametrize("file", [b"", b"no picture"])
def test_a_file_that_is_no_picture_is_refused(file: bytes) -> None:
    with pytest.raises(ValueError, match="no kind of picture that is known"):
        open_picture(np.frombuffer(file, np.uint8))


def test_a_file_that_ends_early_is_refused() -> None:
    with pytest.raises(ValueError, match=r"cannot be read: .*truncated"):
        open_picture(file_of("city")[:5000])


def test_a_vector_has_length_one_and_is_near_that_of_a_similar_picture() -> None:
    vectors = {name: [embedded(file_of(name, seed)) for seed in (1, 2)] for name in PICTURES}
    for name, (first, second) in vectors.items():
        assert first.shape == (IMAGE_DIMENSIONS,)
        assert first.dtype == np.float32
        assert first @ first == pytest.approx(1)
        others = [pair[0] for other, pair in vectors.items() if other != name]
        assert first @ second > np.max(np.stack(others) @ first) + 0.2


def test_a_picture_of_one_colour_has_a_vector() -> None:
    vector = embed_image(np.zeros((SIDE, SIDE, 3), np.float32))
    assert vector @ vector == pytest.approx(1)


def test_zero_stays_zero() -> None:
    np.testing.assert_array_equal(unit(np.array([[0.0, 0.0], [3.0, 4.0]])), np.array([[0, 0], [0.6, 0.8]], np.float32))


@needs_text_model
def test_texts_that_mean_the_same_are_near_each_other() -> None:
    sun, sunset, lights = TextModel().embed(["the sun sets", "a mountain at sunset", "the lights of a city at night"])
    assert sun @ sun == pytest.approx(1)
    assert sun @ sunset > sun @ lights


# The application.


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(TARGET) as server:
        yield server.wait_ready()


def ask(client: Client, inputs: Mapping[str, Any], **capability: str) -> InferResult:
    return client.infer(capability=capability, inputs=inputs, timeout=PATIENCE)


def image(result: InferResult) -> ObjectRef:
    output = result["image"]
    assert isinstance(output, ObjectRef)
    return output


def test_a_picture_goes_from_worker_to_worker_by_reference(client: Client) -> None:
    file = file_of("sunset")
    decoded = image(ask(client, {"file": client.objects.create(file)}, type="decode"))
    pixels = np.asarray(client.objects.get(decoded))
    assert pixels.shape == (HEIGHT, WIDTH, 3)
    np.testing.assert_array_equal(pixels, np.asarray(open_picture(file)))
    small = image(ask(client, {"image": decoded}, type="resize"))
    assert np.asarray(client.objects.get(small)).shape == (SIDE, SIDE, 3)
    vector = np.asarray(ask(client, {"image": small}, type="embed", of="image")["embedding"])
    np.testing.assert_allclose(vector, embedded(file), atol=1e-6)


def test_the_whole_way_is_one_request_and_a_known_picture_is_not_computed_again(client: Client) -> None:
    file = file_of("forest")
    key = f"embedding:{hashlib.sha256(file.data).hexdigest()}"
    assert client.objects.lookup(key) is None
    sent = client.objects.create(file)
    results = [ask(client, {"file": sent}, type="describe") for _ in range(2)]
    assert [np.asarray(result["cached"]).tolist() for result in results] == [[False], [True]]
    for result in results:
        np.testing.assert_allclose(np.asarray(result["embedding"]), embedded(file), atol=1e-6)
    known = client.objects.lookup(key)
    assert known is not None
    np.testing.assert_array_equal(np.asarray(client.objects.get(known)), np.asarray(results[0]["embedding"]))


def test_a_file_may_come_by_value(client: Client) -> None:
    file = file_of("city")
    result = ask(client, {"file": file}, type="describe")
    np.testing.assert_allclose(np.asarray(result["embedding"]), embedded(file), atol=1e-6)


@pytest.mark.parametrize("kind", ["decode", "describe"])
def test_a_file_that_is_no_picture_is_refused_wherever_it_came_in(client: Client, kind: str) -> None:
    with pytest.raises(InvalidArgumentError, match="no kind of picture that is known"):
        ask(client, {"file": np.frombuffer(b"no picture", np.uint8)}, type=kind)


def test_what_a_worker_cannot_take_is_named(client: Client) -> None:
    with pytest.raises(InvalidArgumentError, match="image is FP64 of 3 dimensions; it must be UINT8 of 3"):
        ask(client, {"image": np.zeros((2, 2, 3))}, type="resize")
    with pytest.raises(InvalidArgumentError, match=r"shape \(2, 2, 4\); it must be \(height, width, 3\)"):
        ask(client, {"image": np.zeros((2, 2, 4), np.uint8)}, type="resize")


@needs_text_model
def test_texts_become_vectors(client: Client) -> None:
    texts = ["the sun sets", "a forest"]
    vectors = np.asarray(ask(client, {"text": texts}, type="embed", of="text")["embedding"])
    np.testing.assert_allclose(vectors, TextModel().embed(texts), atol=1e-6)
    with pytest.raises(InvalidArgumentError, match="text is empty"):
        ask(client, {"text": ["something", ""]}, type="embed", of="text")


def test_without_the_model_for_texts_it_says_what_to_install(serve: Serve, tmp_path: Any) -> None:
    missing = "raise ModuleNotFoundError(\"No module named 'wordllama'\", name='wordllama')\n"
    (tmp_path / "wordllama.py").write_text(missing)
    server = serve(TARGET, environment={"PYTHONPATH": str(tmp_path)})
    with Client(server.address) as client, pytest.raises(UnimplementedError, match="pip install wordllama"):
        ask(client, {"text": ["hello"]}, type="embed", of="text")


def test_the_client_shows_each_step_and_what_is_alike(server: Server) -> None:
    command = [sys.executable, "-m", "examples.multimodal.client", "--endpoint", server.address]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    lines = [line.split() for line in printed.splitlines() if line]
    steps = [line[0] for line in lines if line[0] in {"file", "decode", "resize", "embed", "describe"}]
    assert steps == ["file", "decode", "resize", "embed", "describe", "describe"]
    assert "uint8    1280 x 1920 x 3    7.0 MiB" in printed
    assert "float32  224 x 224 x 3      588 KiB" in printed
    table = [line for line in lines if line[:2] == ["sunset", "2"]]
    assert [line[-1] for line in table] == ["1.00"]
