"""Uploaded images of identity documents: what is taken, and how it is made harmless.

An image is kept only as a picture drawn anew (OWASP ASVS V5): no metadata, no trailing bytes, no
second format hidden in it, whatever the upload held.
"""

import io
import threading
from typing import IO

from django.core.files.base import ContentFile
from PIL import Image, ImageOps

MAX_FILE_BYTES = 5 * 1024 * 1024
MAX_PIXELS = 40_000_000
MAX_SIDE = 20_000
MIN_SIDE = 10

# A picture of the largest size takes about 240 MB while it is redrawn: so many at once per process.
_redrawing = threading.BoundedSemaphore(2)


class UnacceptableImage(ValueError):
    """The upload is no JPEG or PNG picture within the limits."""


def redraw(upload: IO[bytes]) -> "ContentFile[bytes]":
    """The picture as a fresh JPEG; raises ``UnacceptableImage``.

    The type is told by content. Width and height are read from the header and judged before any
    pixel is decoded, so a small file cannot unfold into gigabytes.
    """
    with _redrawing:
        try:
            return ContentFile(_redraw(upload))
        except UnacceptableImage:
            raise
        except Exception:  # Pillow raises whatever a hostile file made of its decoders.
            raise UnacceptableImage("Send a JPEG or PNG picture.") from None


def _redraw(upload: IO[bytes]) -> bytes:
    upload.seek(0)
    with Image.open(upload, formats=("JPEG", "PNG")) as image:
        width, height = image.size
        if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
            raise UnacceptableImage("The picture has too many pixels.")
        if min(width, height) < MIN_SIDE:
            raise UnacceptableImage("The picture is too small to read.")
        image.load()
        upright = ImageOps.exif_transpose(image)
        picture = upright.convert("RGB")
    picture.info = {}
    fresh = io.BytesIO()
    picture.save(fresh, format="JPEG", quality=90)
    return fresh.getvalue()
