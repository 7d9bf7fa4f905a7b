"""What the relay calls over and over (``settings.RELAY_FEEDS``).

Each does a bounded part of what is due and returns how much that was.
"""

from django.conf import settings

from fintech_core.celery import app
from webhooks import services, telling

# Receivers in trouble are served by workers of their own: however long they take, the others' are free.
QUEUE = "webhooks"
SLOW_QUEUE = "webhooks_slow"


def tell_endpoints() -> int:
    """Turn announcements into deliveries."""
    return telling.tell_endpoints()


def hand_out_deliveries() -> int:
    """Tell workers which deliveries are due. Where the broker does not take them they are due again at
    once, and the error is the caller's."""
    handed = services.hand_out()
    told = 0
    try:
        if handed:
            with app.producer_or_acquire() as producer:
                for each in handed:
                    app.send_task(
                        "webhooks.deliver",
                        [str(each.delivery_id)],
                        queue=SLOW_QUEUE if each.in_trouble else QUEUE,
                        expires=settings.WEBHOOK_LEASE.total_seconds(),
                        producer=producer,
                        retry=False,
                    )
                    told += 1
    except Exception:
        services.give_back([each.delivery_id for each in handed[told:]])
        raise
    return told
