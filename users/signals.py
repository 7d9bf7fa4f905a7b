"""What the users app tells the apps above it."""

from django.dispatch import Signal

# Sent inside the transaction, before a user's standing (KYC, active or not) changes, with
# ``user_id``. The wallet app answers by locking the user's wallets, so that no transfer decides on
# the old standing after the change has committed.
standing_will_change = Signal()
