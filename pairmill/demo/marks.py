"""Marks on pictures of the demo world: a stock agency's watermark, and a sign of warning that
stands for what is unsafe.
"""

from PIL import Image, ImageDraw, ImageFont

WATERMARK = "demo stock"
STRENGTH = 150
"""Opacity of the watermark, of 255."""


def mark(image: Image.Image, watermark: bool, motif: bool) -> None:
    """Paints the marks that a picture bears."""
    if watermark:
        paint_watermark(image)
    if motif:
        paint_motif(image)


def paint_watermark(image: Image.Image) -> None:
    """The agency's name across the middle, through which the picture is seen."""
    font = ImageFont.load_default(max(12, image.width // 9))
    left = (image.width - font.getlength(WATERMARK)) / 2
    mask = Image.new("L", image.size, 0)
    ImageDraw.Draw(mask).text((left, image.height * 0.44), WATERMARK, STRENGTH, font)
    image.paste((235, 235, 235), (0, 0), mask)


def paint_motif(image: Image.Image) -> None:
    """A yellow triangle with a black stroke, in the upper right corner."""
    side = min(image.size) // 4
    left, top = image.width - side - 4, 4
    draw = ImageDraw.Draw(image)
    corners = [(left, top + side), (left + side, top + side), (left + side / 2, top)]
    draw.polygon(corners, (255, 220, 0), (10, 10, 10), max(2, side // 12))
    middle, thick = left + side / 2, max(1, side // 16)
    draw.rectangle(
        (middle - thick, top + side * 0.4, middle + thick, top + side * 0.8), (10, 10, 10)
    )
