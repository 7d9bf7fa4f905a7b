"""PDF files that are written page by page, of any length, in constant memory.

ReportLab draws the pages and subsets the font; but its documents keep every page until they are saved. A
PDF (ISO 32000-1, 7.5) may be written front to back instead: each page as soon as it is drawn, then what
pages share (fonts, the list of pages) and the table of where each object stands. Of a page written, 24
bytes are kept.
"""

import functools
import io
import threading
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reportlab.pdfbase import pdfdoc, pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

# Latin, Greek, Cyrillic, Armenian, Hebrew, Arabic and many signs; shipped with its licence.
FONT = "DejaVuSansCondensed"
_FONT_FILE = Path(__file__).parent / "fonts" / f"{FONT}.ttf"
# Shown for what the font has no glyph for: a reader sees that something stands there.
UNKNOWN = "\N{REPLACEMENT CHARACTER}"

# Reading and subsetting a font moves about in its one buffer.
_font_lock = threading.Lock()


def font() -> TTFont:
    """The font, read once in a process."""
    with _font_lock:
        if FONT not in pdfmetrics.getRegisteredFontNames():
            pdfmetrics.registerFont(TTFont(FONT, _FONT_FILE))
    return pdfmetrics.getFont(FONT)


def showable(text: str) -> str:
    """The text on one line, with ``UNKNOWN`` for what the font lacks.

    So, too, for what is beyond the Basic Multilingual Plane, which ReportLab does not map back to text.
    """
    glyphs = font().face.charToGlyph
    line = " ".join(text.split())
    return "".join(char if char <= "\uffff" and ord(char) in glyphs else UNKNOWN for char in line)


@functools.lru_cache(maxsize=128)
def fitting(text: str, size: float, width: float) -> str:
    """As much of the text as fits into the width, with an ellipsis where some does not."""
    face = font()
    text = showable(text)
    if face.stringWidth(text, size) <= width:
        return text
    while text and face.stringWidth(f"{text}…", size) > width:
        text = text[:-1]
    return f"{text.rstrip()}…"


class PagedPDF:
    """A PDF that comes out as its pages are drawn.

    Draw on ``canvas``, then send ``end_page()``; after the last page send what ``end()`` yields.
    """

    def __init__(self, *, size: tuple[float, float], title: str) -> None:
        font()
        self.canvas = Canvas(io.BytesIO(), pagesize=size, pageCompression=1)
        self.canvas.setTitle(title)
        self._document: Any = self.canvas._doc
        self._pages = self._document.Pages = self._document.Catalog.Pages = _PageList()
        # By object number: where it stands in the file; 0 is not written yet.
        self._offsets = array("Q", [0])
        self._written = 0
        self._head = b"%PDF-1.4\n%\x93\x8c\x8b\x9e\n"

    def end_page(self) -> bytes:
        """The page as drawn, and nothing of it remains."""
        document = self._document
        name = document.thisPageName()
        self.canvas.showPage()
        page = document.idToObject[name]
        self._pages.add(document.idToObjectNumberAndVersion[name][0])
        piece = self._take_head() + self._object(name)
        contents = page.Contents.__InternalName__
        piece += self._object(contents)
        for written in (name, contents):
            del document.idToObject[written]
            del document.numberToId[document.idToObjectNumberAndVersion.pop(written)[0]]
        return piece

    def end(self) -> Iterator[bytes]:
        """What the pages share, and the table of all objects."""
        document = self._document
        with _font_lock:
            for used in document.delayedFonts:
                used.addObjects(document)
        document.info.digest(document.signature)
        document.Catalog.Outlines = None
        root = document.Reference(document.Catalog)
        info = document.Reference(document.info)
        # To write an object may make new ones.
        while left := [
            name for number, name in document.numberToId.items() if self._is_new(number)
        ]:
            for name in left:
                yield self._object(name)
        start = self._written
        yield f"xref\n0 {len(self._offsets)}\n0000000000 65535 f \n".encode()
        for first in range(1, len(self._offsets), 1000):
            rows = self._offsets[first : first + 1000]
            yield b"".join(b"%010d 00000 n \n" % offset for offset in rows)
        yield pdfdoc.PDFTrailer(
            startxref=start, Size=len(self._offsets), Root=root, Info=info, ID=document.ID()
        ).format(document)

    def _take_head(self) -> bytes:
        head, self._head = self._head, b""
        self._written += len(head)
        return head

    def _object(self, name: str) -> bytes:
        """One object, and note where it stands."""
        piece: bytes = pdfdoc.PDFIndirectObject(name, self._document.idToObject[name]).format(
            self._document
        )
        number = self._document.idToObjectNumberAndVersion[name][0]
        missing = number + 1 - len(self._offsets)
        if missing > 0:
            self._offsets.extend([0] * missing)
        self._offsets[number] = self._written
        self._written += len(piece)
        return piece

    def _is_new(self, number: int) -> bool:
        return number >= len(self._offsets) or not self._offsets[number]


class _PageList(pdfdoc.PDFPages):  # type: ignore[misc] # ReportLab has no types
    """The list of pages, which remembers their numbers alone."""

    def __init__(self) -> None:
        super().__init__()
        self._numbers = array("Q")

    def add(self, number: int) -> None:
        self._numbers.append(number)
        self.pages.clear()

    def check_format(self, document: Any) -> None:
        self.Kids = f"[{' '.join(f'{number} 0 R' for number in self._numbers)}]"
        self.Count = len(self._numbers)
