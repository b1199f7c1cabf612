"""Scenes as pictures, drawn with Pillow."""

import math
import random

from PIL import Image, ImageChops, ImageDraw, ImageFont

from pairmill.demo.marks import mark
from pairmill.demo.scenes import Group, Scene

Rgb = tuple[int, int, int]
Primitive = tuple[str, tuple[float, ...], str]

PAINT: dict[str, Rgb] = {
    "red": (214, 30, 36), "orange": (255, 138, 10), "yellow": (252, 222, 40),
    "green": (40, 150, 50),
    "blue": (32, 84, 208), "purple": (126, 48, 178), "pink": (252, 130, 190),
    "brown": (120, 70, 36),
    "black": (28, 28, 30), "white": (246, 246, 246),
}  # fmt: skip
BACKDROPS: dict[str, tuple[Rgb, Rgb]] = {  # upper, lower
    "meadow": ((178, 216, 240), (150, 204, 120)), "beach": ((140, 206, 232), (236, 214, 160)),
    "sky": ((120, 180, 240), (190, 220, 248)), "night": ((18, 22, 58), (44, 48, 84)),
    "snow": ((200, 212, 224), (232, 238, 244)), "room": ((226, 206, 180), (150, 108, 78)),
}  # fmt: skip

# Shapes in the unit square: (primitive, coordinates, shade).  `m` is the group's colour, `d` a
# darker, `l` a lighter one.
SHAPES: dict[str, tuple[Primitive, ...]] = {
    "ball": (("ellipse", (0.08, 0.08, 0.92, 0.92), "m"), ("ellipse", (0.25, 0.2, 0.42, 0.36), "l")),
    "box": (("polygon", (0.08, 0.3, 0.7, 0.3, 0.7, 0.94, 0.08, 0.94), "m"),
            ("polygon", (0.08, 0.3, 0.3, 0.08, 0.94, 0.08, 0.7, 0.3), "l"),
            ("polygon", (0.7, 0.3, 0.94, 0.08, 0.94, 0.7, 0.7, 0.94), "d")),
    "star": (("polygon", (0.5, 0.02, 0.61, 0.36, 0.98, 0.37, 0.69, 0.58, 0.79, 0.95, 0.5, 0.73,
               0.21, 0.95, 0.31, 0.58,
                          0.02, 0.37, 0.39, 0.36), "m"),),
    "heart": (("ellipse", (0.05, 0.1, 0.54, 0.58), "m"), ("ellipse", (0.46, 0.1, 0.95, 0.58), "m"),
              ("polygon", (0.08, 0.44, 0.5, 0.34, 0.92, 0.44, 0.5, 0.96), "m")),
    "tree": (("polygon", (0.42, 0.7, 0.58, 0.7, 0.6, 0.98, 0.4, 0.98), "w"),
             ("polygon", (0.5, 0.0, 0.78, 0.36, 0.22, 0.36), "m"),
             ("polygon", (0.5, 0.16, 0.86, 0.56, 0.14, 0.56), "m"),
             ("polygon", (0.5, 0.36, 0.94, 0.76, 0.06, 0.76), "m")),
    "house": (("polygon", (0.14, 0.44, 0.86, 0.44, 0.86, 0.95, 0.14, 0.95), "m"),
              ("polygon", (0.5, 0.05, 0.98, 0.46, 0.02, 0.46), "d"),
              ("polygon", (0.42, 0.66, 0.58, 0.66, 0.58, 0.95, 0.42, 0.95), "k"),
              ("polygon", (0.2, 0.54, 0.34, 0.54, 0.34, 0.68, 0.2, 0.68), "g")),
    "car": (("polygon", (0.02, 0.5, 0.2, 0.48, 0.32, 0.24, 0.7, 0.24, 0.82, 0.48, 0.98, 0.52, 0.98,
               0.74, 0.02, 0.74), "m"),
            ("polygon", (0.36, 0.3, 0.5, 0.3, 0.5, 0.47, 0.28, 0.47), "g"),
            ("polygon", (0.54, 0.3, 0.66, 0.3, 0.74, 0.47, 0.54, 0.47), "g"),
            ("ellipse", (0.13, 0.6, 0.37, 0.86), "k"), ("ellipse", (0.63, 0.6, 0.87, 0.86), "k")),
    "boat": (("polygon", (0.02, 0.62, 0.98, 0.62, 0.78, 0.92, 0.22, 0.92), "m"),
             ("polygon", (0.46, 0.04, 0.52, 0.04, 0.52, 0.62, 0.46, 0.62), "w"),
             ("polygon", (0.54, 0.06, 0.9, 0.54, 0.54, 0.54), "l"),
             ("polygon", (0.44, 0.16, 0.44, 0.54, 0.14, 0.54), "l")),
    "fish": (("polygon", (0.68, 0.5, 0.98, 0.2, 0.98, 0.8), "d"),
             ("ellipse", (0.02, 0.22, 0.78, 0.78), "m"),
             ("ellipse", (0.16, 0.38, 0.25, 0.47), "k")),
    "cup": (("ellipse", (0.6, 0.3, 0.96, 0.7), "d"), ("ellipse", (0.68, 0.38, 0.88, 0.62), "x"),
            ("polygon", (0.1, 0.16, 0.74, 0.16, 0.66, 0.92, 0.18, 0.92), "m"),
            ("ellipse", (0.1, 0.08, 0.74, 0.24), "l")),
    "flower": (("polygon", (0.47, 0.5, 0.53, 0.5, 0.53, 1.0, 0.47, 1.0), "s"),
               ("ellipse", (0.34, 0.02, 0.66, 0.3), "m"),
               ("ellipse", (0.56, 0.16, 0.86, 0.46), "m"),
               ("ellipse", (0.14, 0.16, 0.44, 0.46), "m"),
               ("ellipse", (0.24, 0.36, 0.54, 0.66), "m"),
               ("ellipse", (0.46, 0.36, 0.76, 0.66), "m"),
               ("ellipse", (0.39, 0.24, 0.61, 0.46), "g")),
    "mushroom": (("polygon", (0.38, 0.46, 0.62, 0.46, 0.68, 0.96, 0.32, 0.96), "c"),
                 ("pieslice", (0.04, 0.06, 0.96, 0.98, 180, 360), "m")),
    "umbrella": (("polygon", (0.48, 0.05, 0.52, 0.05, 0.52, 0.86, 0.48, 0.86), "k"),
                 ("pieslice", (0.03, 0.1, 0.97, 1.0, 180, 360), "m"),
                 ("ellipse", (0.03, 0.47, 0.34, 0.63), "x"),
                 ("ellipse", (0.34, 0.47, 0.66, 0.63), "x"),
                 ("ellipse", (0.66, 0.47, 0.97, 0.63), "x"),
                 ("polygon", (0.48, 0.5, 0.52, 0.5, 0.52, 0.9, 0.66, 0.9, 0.66, 0.96, 0.48, 0.96),
                            "k")),
    "key": (("ellipse", (0.02, 0.28, 0.44, 0.72), "m"), ("ellipse", (0.14, 0.4, 0.32, 0.6), "x"),
            ("polygon", (0.4, 0.45, 0.98, 0.45, 0.98, 0.7, 0.9, 0.7, 0.9, 0.56, 0.8, 0.56, 0.8,
                       0.66, 0.72, 0.66, 0.72, 0.56, 0.4, 0.56), "m")),
    "moon": (("ellipse", (0.08, 0.04, 0.92, 0.96), "m"), ("ellipse", (0.34, 0.0, 1.06, 0.8), "x")),
    "crown": (("polygon", (0.06, 0.9, 0.02, 0.3, 0.28, 0.56, 0.5, 0.1, 0.72, 0.56, 0.98, 0.3, 0.94,
               0.9), "m"),
              ("polygon", (0.07, 0.78, 0.93, 0.78, 0.94, 0.92, 0.06, 0.92), "d")),
}  # fmt: skip
FIXED: dict[str, Rgb] = {
    "k": (40, 40, 44),
    "g": (190, 220, 236),
    "w": (110, 76, 44),
    "s": (52, 130, 60),
    "c": (238, 224, 200),
}


def render(scene: Scene, width_px: int, height_px: int, rng: random.Random) -> Image.Image:
    """The scene as an RGB image of the given size; `rng` jitters light, place, angle and size."""
    return render_boxes(scene, width_px, height_px, rng)[0]


def render_boxes(
    scene: Scene, width_px: int, height_px: int, rng: random.Random
) -> tuple[Image.Image, list[list[tuple[int, int, int]]]]:
    """As `render`, and for each group the boxes (x, y, side) in pixels of its things."""
    image = backdrop(scene.place, width_px, height_px, rng)
    places = layout(scene, width_px, height_px, rng)
    for group, boxes in zip(scene.groups, places, strict=True):
        tint = jitter(PAINT[group.colour], rng, 10)
        for x, y, side in boxes:
            body, mask = thing(group, tint, side, rng)
            image.paste(body, (x, y), mask)
    if scene.sign:
        paint_sign(image, scene.sign)
    if scene.watermark or scene.motif:
        mark(image, scene.watermark, scene.motif)
    return image, places


def backdrop(place: str, width_px: int, height_px: int, rng: random.Random) -> Image.Image:
    """The ground that things stand on."""
    upper, lower = (jitter(c, rng, 8) for c in BACKDROPS[place])
    image = Image.new("RGB", (width_px, height_px), upper)
    horizon = int(height_px * rng.uniform(0.5, 0.7))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, horizon, width_px, height_px), fill=lower)
    if place == "night":
        for _ in range(12):
            x, y = rng.randrange(width_px), rng.randrange(max(1, horizon))
            draw.ellipse((x, y, x + 2, y + 2), fill=(220, 220, 180))
    return image


def layout(
    scene: Scene, width_px: int, height_px: int, rng: random.Random
) -> list[list[tuple[int, int, int]]]:
    """For each group the boxes (x, y, side) in pixels of its things; groups have areas of their
    own.
    """
    if len(scene.groups) == 1:
        areas = [(0.04, 0.04, 0.96, 0.96)]
    elif len(scene.groups) > 2:
        areas = cells(len(scene.groups), width_px / height_px)
    elif scene.relation == "above":
        areas = [(0.04, 0.02, 0.96, 0.49), (0.04, 0.51, 0.96, 0.98)]
    else:
        areas = [(0.02, 0.06, 0.49, 0.94), (0.51, 0.06, 0.98, 0.94)]
    return [
        grid(group, area, width_px, height_px, rng)
        for group, area in zip(scene.groups, areas, strict=True)
    ]


def cells(count: int, aspect: float) -> list[tuple[float, float, float, float]]:
    """Areas of `count` groups, in the order of reading."""
    columns = min(count, max(2, round(math.sqrt(count * aspect))))
    lines = -(-count // columns)
    wide, high = 1 / columns, 1 / lines
    corners = [(i % columns * wide, i // columns * high) for i in range(count)]
    return [
        (x + 0.05 * wide, y + 0.05 * high, x + 0.95 * wide, y + 0.95 * high) for x, y in corners
    ]


def grid(
    group: Group,
    area: tuple[float, float, float, float],
    width_px: int,
    height_px: int,
    rng: random.Random,
) -> list[tuple[int, int, int]]:
    """Places of things side by side."""
    x0, y0, x1, y1 = (
        area[0] * width_px,
        area[1] * height_px,
        area[2] * width_px,
        area[3] * height_px,
    )
    columns = 1 if group.count == 1 else group.count if (x1 - x0) > 2.4 * (y1 - y0) else 2
    lines = -(-group.count // columns)
    cell_w, cell_h = (x1 - x0) / columns, (y1 - y0) / lines
    share = 0.9 if group.size == "large" else 0.62
    side = max(6, int(min(cell_w, cell_h) * share * rng.uniform(0.92, 1.0)))
    boxes = []
    for i in range(group.count):
        free_x, free_y = cell_w - side, cell_h - side
        x = x0 + (i % columns) * cell_w + rng.uniform(0.1, 0.9) * free_x
        y = y0 + (i // columns) * cell_h + rng.uniform(0.1, 0.9) * free_y
        boxes.append((int(x), int(y), side))
    return boxes


def thing(
    group: Group, tint: Rgb, side_px: int, rng: random.Random
) -> tuple[Image.Image, Image.Image]:
    """One thing: its RGB body and the mask that cuts it out, both `side_px` squared."""
    shades = {"m": tint, "d": scale(tint, 0.68), "l": lighten(tint, 0.45), **FIXED}
    body = Image.new("RGB", (side_px, side_px), tint)
    mask = Image.new("L", (side_px, side_px), 0)
    draw, cut = ImageDraw.Draw(body), ImageDraw.Draw(mask)
    paintable = Image.new("L", (side_px, side_px), 0)
    paint = ImageDraw.Draw(paintable)
    for primitive, coordinates, shade in SHAPES[group.kind]:
        if primitive == "pieslice":
            box, start, end = [c * side_px for c in coordinates[:4]], coordinates[4], coordinates[5]
            for d, fill in ((draw, shades.get(shade)), (cut, 255), (paint, 255)):
                d.pieslice(box, start, end, fill=fill)
            continue
        points = [c * side_px for c in coordinates]
        for d, fill in (
            (draw, shades.get(shade)),
            (cut, 0 if shade == "x" else 255),
            (paint, 255 if shade == "m" else 0),
        ):
            if fill is not None:
                getattr(d, primitive)(points, fill=fill)
    if group.texture != "plain":
        body.paste(
            lighten(tint, 0.55) if sum(tint) < 500 else scale(tint, 0.55),
            (0, 0),
            ImageChops.multiply(pattern(group.texture, side_px), paintable),
        )
    angle = rng.uniform(-10, 10)
    return body.rotate(angle, Image.Resampling.BILINEAR), mask.rotate(
        angle, Image.Resampling.BILINEAR
    )


def pattern(texture: str, side_px: int) -> Image.Image:
    """Stripes or dots."""
    mask = Image.new("L", (side_px, side_px), 0)
    draw = ImageDraw.Draw(mask)
    step = max(4, side_px // 6)
    if texture == "striped":
        for x in range(-side_px, side_px, step):
            draw.line((x, 0, x + side_px, side_px), fill=255, width=max(1, step // 3))
    else:
        for i, y in enumerate(range(step // 2, side_px, step)):
            for x in range(step // 2 + (i % 2) * step // 2, side_px, step):
                draw.ellipse((x - step // 5, y - step // 5, x + step // 5, y + step // 5), fill=255)
    return mask


def paint_sign(image: Image.Image, text: str) -> None:
    """A text on a light strip at the lower edge."""
    size = max(10, image.height // 12)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size)
    width = draw.textlength(text, font=font)
    draw.rectangle((4, image.height - size - 8, 10 + width, image.height - 2), fill=(250, 250, 240))
    draw.text((7, image.height - size - 6), text, fill=(20, 20, 20), font=font)


def jitter(colour: Rgb, rng: random.Random, by: int) -> Rgb:
    """A colour a little off."""
    r, g, b = (min(255, max(0, c + rng.randint(-by, by))) for c in colour)
    return r, g, b


def scale(colour: Rgb, by: float) -> Rgb:
    """A colour darker by a factor."""
    r, g, b = (int(c * by) for c in colour)
    return r, g, b


def lighten(colour: Rgb, by: float) -> Rgb:
    """A colour nearer to white."""
    r, g, b = (int(c + (255 - c) * by) for c in colour)
    return r, g, b
