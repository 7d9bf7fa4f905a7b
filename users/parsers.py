"""The one form that is no JSON: an identity check with its pictures."""

from collections.abc import Mapping
from io import BytesIO
from typing import Any

from django.core.exceptions import BadRequest, RequestDataTooBig
from django.core.files.uploadedfile import InMemoryUploadedFile
from django.core.files.uploadhandler import FileUploadHandler
from django.http.multipartparser import MultiPartParser, MultiPartParserError
from rest_framework.parsers import BaseParser


class BoundedUploadHandler(FileUploadHandler):
    """Keeps uploads in memory, so many bytes in all, however large the request says it is."""

    chunk_size = 64 * 1024

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._left = limit
        self._file = BytesIO()

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        self._file = BytesIO()

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        self._left -= len(raw_data)
        if self._left < 0:
            raise RequestDataTooBig
        self._file.write(raw_data)

    def file_complete(self, file_size: int) -> InMemoryUploadedFile:
        self._file.seek(0)
        return InMemoryUploadedFile(
            file=self._file,
            field_name=self.field_name,
            name=self.file_name or "",
            content_type=self.content_type,
            size=file_size,
            charset=self.charset,
            content_type_extra=self.content_type_extra,
        )


class StrictFormParser(BaseParser):
    """``multipart/form-data`` in UTF-8, each field at most once, as one plain mapping.

    The view's ``max_body_bytes`` bounds the files together.
    """

    media_type = "multipart/form-data"

    def parse(
        self,
        stream: Any,
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        context = parser_context or {}
        meta = {**context["request"].META, "CONTENT_TYPE": media_type}
        handler = BoundedUploadHandler(context["view"].max_body_bytes)
        try:
            fields, files = MultiPartParser(meta, stream, [handler], "utf-8").parse()
        except MultiPartParserError:
            raise BadRequest from None
        form: dict[str, Any] = {}
        for name, values in (*fields.lists(), *files.lists()):
            # What is not UTF-8 arrives as U+FFFD: it cannot be taken as it was sent.
            if name in form or len(values) > 1 or "\ufffd" in str(values[0]):
                raise BadRequest
            form[name] = values[0]
        return form
