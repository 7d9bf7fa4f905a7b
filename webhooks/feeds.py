"""What the relay calls over and over (``settings.RELAY_FEEDS``).

Each does a bounded part of what is due and returns how much that was.
"""

from events.publishing import BrokerUnavailable
from events.relay import publisher
from webhooks import services, telling

TASK = "webhooks.deliver"
# Receivers in trouble are served by workers of their own: however long they take, the others' are free.
QUEUE = "webhooks"
SLOW_QUEUE = "webhooks_slow"


def tell_endpoints() -> int:
    """Turn announcements into deliveries."""
    return telling.tell_endpoints()


def hand_out_deliveries() -> int:
    """Tell workers which deliveries are due. Raises ``BrokerUnavailable``, and then what was not
    published is due at once."""
    handed = services.hand_out(
        has_room=publisher.room_in(QUEUE) > 0, has_slow_room=publisher.room_in(SLOW_QUEUE) > 0
    )
    for position, each in enumerate(handed):
        try:
            queue = SLOW_QUEUE if each.in_trouble else QUEUE
            publisher.publish(TASK, each.delivery_id, queue=queue)
        except BrokerUnavailable:
            # This one, too: whether the broker has it is not known, and twice is harmless.
            services.give_back([left.delivery_id for left in handed[position:]])
            raise
    return len(handed)
