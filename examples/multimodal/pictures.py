"""Pictures that are drawn when they are needed, each a little different by its seed."""

from __future__ import annotations

import io
import random
from collections.abc import Callable

from PIL import Image, ImageDraw

WIDTH, HEIGHT = 1920, 1280

Colour = tuple[int, int, int]


def sunset(seed: int) -> Image.Image:
    """The sun behind two rows of hills."""
    dice = random.Random(seed)
    image, draw = _sky((60, 30, 90), (255, 150, 60))
    sun = dice.randint(WIDTH // 3, WIDTH // 2)
    draw.ellipse((sun, 560, sun + 300, 860), fill=(255, 230, 120))
    for base, colour in ((800, (90, 40, 60)), (950, (40, 20, 40))):
        for _ in range(6):
            left, reach = dice.randint(-400, WIDTH), dice.randint(500, 900)
            draw.ellipse((left, base + dice.randint(-40, 40), left + reach, HEIGHT * 2), fill=colour)
    return image


def forest(seed: int) -> Image.Image:
    """Fir trees by day, the nearer ones darker."""
    dice = random.Random(seed)
    image, draw = _sky((150, 200, 240), (220, 240, 230))
    for row in range(4):
        for _ in range(30):
            middle, foot = dice.randint(0, WIDTH), 900 + row * 120
            green = 150 - row * 30 + dice.randint(-10, 10)
            top = foot - dice.randint(300, 600)
            draw.polygon([(middle, top), (middle - 110, foot), (middle + 110, foot)], fill=(20, green, 40))
    return image


def city(seed: int) -> Image.Image:
    """Lit windows at night."""
    dice = random.Random(seed)
    image, draw = _sky((5, 5, 25), (20, 20, 60))
    for left in range(0, WIDTH, 160):
        roof = dice.randint(250, 800)
        draw.rectangle((left, roof, left + 140, HEIGHT), fill=(25, 25, 35))
        for x in range(left + 15, left + 125, 30):
            for y in range(roof + 20, HEIGHT, 45):
                if dice.random() < 0.6:
                    draw.rectangle((x, y, x + 16, y + 25), fill=(250, 220, 130))
    return image


PICTURES: dict[str, Callable[[int], Image.Image]] = {"sunset": sunset, "forest": forest, "city": city}


def encoded(picture: Image.Image, kind: str = "JPEG") -> bytes:
    """The bytes of its file."""
    file = io.BytesIO()
    picture.save(file, kind)
    return file.getvalue()


def _sky(above: Colour, below: Colour) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    gradient = Image.linear_gradient("L").resize((WIDTH, HEIGHT))
    image = Image.composite(Image.new("RGB", gradient.size, below), Image.new("RGB", gradient.size, above), gradient)
    return image, ImageDraw.Draw(image)
