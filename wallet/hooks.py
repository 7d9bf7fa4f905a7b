"""What the wallet app tells the apps above it."""

from django.dispatch import Signal

# Sent inside the transaction that closes a wallet, under its lock, with ``wallet``. Who knows of money
# that is still to come to it raises ``wallet.services.WalletInUse``.
wallet_will_close = Signal()
