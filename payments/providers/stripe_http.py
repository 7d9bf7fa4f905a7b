"""How the Stripe library reaches Stripe: by the connections that end by a deadline."""

from collections.abc import Mapping
from typing import Any, NoReturn

import stripe

from payments.providers.transport import (
    TOTAL_SECONDS,
    TRANSPORT_FAILURES,
    TooMuch,
    bounded_client,
    deadline,
    read_bounded,
)


class BoundedHTTPClient(stripe.HTTPClient):
    """For ``stripe.StripeClient``; shared by threads."""

    name = "httpx"

    def __init__(self, base_url: str) -> None:
        super().__init__()
        self._client = bounded_client(base_url, {})

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        post_data: Any = None,
        *,
        _usage: list[str] | None = None,
    ) -> tuple[str, int, Mapping[str, str]]:
        """One call: body, status and headers. ``APIConnectionError`` where there is no whole answer."""
        try:
            with (
                deadline(TOTAL_SECONDS),
                self._client.stream(method, url, headers=headers, content=post_data) as response,
            ):
                body = read_bounded(response)
        except (*TRANSPORT_FAILURES, TooMuch) as error:
            name = type(error).__name__
            raise stripe.APIConnectionError(name) from None  # type: ignore[no-untyped-call]
        return body.decode("utf-8", "replace"), response.status_code, response.headers

    def request_stream(self, *_: Any, **__: Any) -> NoReturn:
        """Nothing that is asked of Stripe here comes as a stream."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
