"""The two image containers' work: segments by k-means, and a painterly style by the Kuwahara filter.

Both are deterministic and take well under a second for a photograph. Pillow and numpy are imported
inside the functions, because everything else in the simulator runs without them.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    Floats = NDArray[np.float32]

LARGEST_SIDE = 1024  # pixels; a larger image is scaled down first
MOST_PIXELS = 40_000_000  # of an image we agree to decode
SEGMENTS = 6
BRUSH = 5  # pixels: radius of a stroke
TONES = 12  # tones per channel after painting
PALETTE = ((230, 57, 70), (42, 157, 143), (38, 70, 183), (244, 162, 97), (131, 56, 236), (233, 196, 106))


class NotAnImage(ValueError):
    """The body is not an image we can read; a sentence for the caller."""


class LibraryMissing(RuntimeError):
    """Pillow or numpy is not installed."""


def segment(body: bytes) -> bytes:
    """PNG: the image, each of its segments tinted in a colour of its own, with white borders."""
    image = _open(body)
    import numpy as np
    from PIL import Image, ImageFilter

    small = image.copy()
    small.thumbnail((160, 160))
    labels = _clusters(np.asarray(small.filter(ImageFilter.MedianFilter(5)), dtype=np.float32))
    full = Image.fromarray(labels.astype(np.uint8)).resize(image.size, Image.Resampling.NEAREST)
    mask = np.asarray(full.filter(ImageFilter.ModeFilter(9)))
    tinted = 0.45 * np.asarray(image, dtype=np.float32) + 0.55 * np.array(PALETTE, dtype=np.float32)[mask]
    border = np.zeros(mask.shape, dtype=bool)
    border[1:] |= mask[1:] != mask[:-1]
    border[:, 1:] |= mask[:, 1:] != mask[:, :-1]
    tinted[border] = 255
    return _encode(Image.fromarray(tinted.astype(np.uint8)), "PNG", compress_level=3)


def paint(body: bytes) -> bytes:
    """JPEG: the image in broad strokes and few tones, its contours darkened."""
    image = _open(body)
    import numpy as np
    from PIL import Image, ImageEnhance, ImageFilter

    pixels = np.asarray(image, dtype=np.float32)
    strokes = np.round(_kuwahara(pixels) / 255 * (TONES - 1)) / (TONES - 1) * 255
    contours = image.convert("L").filter(ImageFilter.GaussianBlur(1.5)).filter(ImageFilter.FIND_EDGES)
    ink = np.clip(np.asarray(contours, dtype=np.float32) / 60, 0, 0.8)[..., None]
    painted = Image.fromarray((strokes * (1 - ink)).clip(0, 255).astype(np.uint8))
    return _encode(ImageEnhance.Color(painted).enhance(1.5), "JPEG", quality=88)


def _open(body: bytes) -> Image:
    try:
        import numpy  # noqa: F401
        from PIL import Image
    except ImportError as error:
        raise LibraryMissing(
            "This container needs Pillow and numpy: pip install -r requirements-demo.txt"
        ) from error
    try:
        image = Image.open(io.BytesIO(body), formats=("PNG", "JPEG", "WEBP"))
        if image.width * image.height > MOST_PIXELS:
            raise NotAnImage("The image has too many pixels.")
        image.draft("RGB", (LARGEST_SIDE, LARGEST_SIDE))
        decoded = image.convert("RGB")
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise NotAnImage("The body is not a PNG, JPEG or WebP image.") from error
    decoded.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    return decoded


def _clusters(pixels: Floats) -> NDArray[np.intp]:
    """k-means over colour and place, started from pixels of evenly spaced brightness."""
    import numpy as np

    height, width, _ = pixels.shape
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    place = np.stack((rows / height, columns / width), axis=-1) * 90
    points = np.concatenate((pixels, place), axis=-1).reshape(-1, 5)
    by_brightness = np.argsort(points[:, :3].sum(axis=1), kind="stable")
    centres = points[by_brightness[np.linspace(0, len(points) - 1, SEGMENTS).astype(int)]]
    for _ in range(12):
        nearest = ((points[:, None] - centres) ** 2).sum(axis=-1).argmin(axis=1)
        for index in np.unique(nearest):
            centres[index] = points[nearest == index].mean(axis=0)
    return np.asarray(nearest.reshape(height, width), dtype=np.intp)


def _kuwahara(pixels: Floats) -> Floats:
    """Each pixel becomes the mean of the calmest of the four squares that meet in it."""
    import numpy as np

    padded = np.pad(pixels, ((BRUSH, BRUSH), (BRUSH, BRUSH), (0, 0)), mode="edge")
    mean = _box_mean(padded)
    spread = (_box_mean(padded**2) - mean**2).sum(axis=-1)
    height, width, _ = pixels.shape
    corners = [(top, left) for top in (0, BRUSH) for left in (0, BRUSH)]
    spreads = np.stack([spread[top : top + height, left : left + width] for top, left in corners])
    means = np.stack([mean[top : top + height, left : left + width] for top, left in corners])
    calmest = spreads.argmin(axis=0)
    return np.asarray(np.take_along_axis(means, calmest[None, ..., None], axis=0)[0], dtype=np.float32)


def _box_mean(values: Floats) -> NDArray[np.float64]:
    """Mean of every square of side BRUSH + 1, from one table of running sums."""
    import numpy as np

    side = BRUSH + 1
    sums = np.pad(values.astype(np.float64).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0), (0, 0)))
    total = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    return np.asarray(total / side**2)


def _encode(image: Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()
