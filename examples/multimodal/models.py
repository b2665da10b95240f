"""What the workers compute, without anything of anyserve: pictures, and vectors for pictures and texts."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

Pixels = npt.NDArray[np.uint8]
"""Height x width x 3, RGB."""

Floats = npt.NDArray[np.float32]

SIDE = 224
"""Pictures are embedded at this height and width."""

CELLS = 8
ORIENTATIONS = 9
SHADES = 4
QUADRANTS = 2
IMAGE_DIMENSIONS = CELLS * CELLS * ORIENTATIONS + QUADRANTS * QUADRANTS * SHADES**3


def open_picture(file: Pixels) -> Image.Image:
    """The picture in the bytes of a JPEG, a PNG or another file that Pillow knows: upright and RGB, all of it read.

    Raises:
        ValueError: There is none.
    """
    try:
        with Image.open(io.BytesIO(file.data)) as image:
            return ImageOps.exif_transpose(image).convert("RGB")
    except UnidentifiedImageError as error:
        raise ValueError("the file is of no kind of picture that is known") from error
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"the picture cannot be read: {error}") from error


def shrink(pixels: Pixels, out: Floats) -> None:
    """Fits a picture into ``out``, which is ``SIDE`` x ``SIDE`` x 3, with numbers from 0 to 1."""
    small = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    np.divide(np.asarray(small), np.float32(255), out=out)


def embed_image(picture: Floats) -> Floats:
    """A unit vector that is near those of pictures with similar outlines and colours.

    A descriptor as they were made before neural networks: a histogram of the edges' orientations in each of 8 x 8
    cells (Dalal and Triggs, "Histograms of Oriented Gradients for Human Detection", 2005), and one of the colours in
    each quarter. It has learnt nothing, and knows nothing of what a picture shows.
    """
    return unit(np.concatenate([_outlines(picture), _colours(picture)]))


def _outlines(picture: Floats) -> Floats:
    grey = picture @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    down, right = np.gradient(grey)
    # An edge is the same whichever of its sides is the brighter one: half a turn is all.
    turns = np.arctan2(down, right) / np.pi % 1
    orientation = np.minimum((turns * ORIENTATIONS).astype(np.intp), ORIENTATIONS - 1)
    return _histogram(_parts(CELLS), orientation, ORIENTATIONS, CELLS**2, np.hypot(down, right))


def _colours(picture: Floats) -> Floats:
    shades = np.minimum((picture * SHADES).astype(np.intp), SHADES - 1)
    colour = shades @ np.array([SHADES**2, SHADES, 1])
    return _histogram(_parts(QUADRANTS), colour, SHADES**3, QUADRANTS**2, np.ones_like(picture[..., 0]))


def _parts(count: int) -> npt.NDArray[np.intp]:
    """For each pixel the number of its part, where each side of the picture is cut into ``count``."""
    along = np.arange(SIDE) * count // SIDE
    return along[:, None] * count + along


def _histogram(part: npt.NDArray[np.intp], kind: npt.NDArray[np.intp], kinds: int, parts: int, weight: Any) -> Floats:
    """How much there is of each kind in each part: a unit vector.

    The root makes the product of two of them a measure of how much they overlap (Bhattacharyya's coefficient).
    """
    bins = (part * kinds + kind).ravel()
    return unit(np.sqrt(np.bincount(bins, weight.ravel(), minlength=parts * kinds)))


def unit(vectors: npt.NDArray[Any]) -> Floats:
    """The vectors in the last axis at length 1, so that their dot product is the cosine; zero stays zero."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return (vectors / np.where(lengths == 0, 1, lengths)).astype(np.float32)


class TextModel:
    """WordLlama: a vector for each of 32,000 tokens, learnt for the comparison of texts; a text has their mean.

    https://github.com/dleemiller/WordLlama

    Raises:
        ModuleNotFoundError: It is not installed.
    """

    DIMENSIONS = 256

    def __init__(self) -> None:
        import wordllama

        # The weights are in the package. Without its folder here it would look for the tokenizer elsewhere.
        self._model = wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)

    def embed(self, texts: Sequence[str]) -> Floats:
        """A unit vector for each text, none of which may be empty."""
        return unit(self._model.embed(list(texts)))
