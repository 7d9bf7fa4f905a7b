"""Four models with the defaults that come to mind first."""

import uuid
from typing import ClassVar

from django.db import models


class NaiveUser(models.Model):
    objects: ClassVar[models.Manager["NaiveUser"]] = models.Manager()

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    email = models.EmailField(unique=True)
    is_active = models.BooleanField(default=True)
    # What Django REST framework asks of a user.
    is_authenticated = True

    class Meta:
        app_label = "naive"


class NaiveWallet(models.Model):
    objects: ClassVar[models.Manager["NaiveWallet"]] = models.Manager()

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    number = models.IntegerField(unique=True)
    owner = models.OneToOneField(NaiveUser, models.PROTECT, related_name="wallet")
    balance = models.DecimalField(max_digits=20, decimal_places=2, default=0)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        app_label = "naive"


class NaiveTransaction(models.Model):
    objects: ClassVar[models.Manager["NaiveTransaction"]] = models.Manager()

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    key = models.CharField(max_length=64, unique=True)
    from_wallet = models.ForeignKey(NaiveWallet, models.PROTECT, related_name="sent")
    to_wallet = models.ForeignKey(NaiveWallet, models.PROTECT, related_name="received")
    amount = models.DecimalField(max_digits=20, decimal_places=2)
    status = models.CharField(max_length=12, default="posted")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        app_label = "naive"


class NaiveEntry(models.Model):
    objects: ClassVar[models.Manager["NaiveEntry"]] = models.Manager()

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    transaction = models.ForeignKey(NaiveTransaction, models.PROTECT, related_name="entries")
    wallet = models.ForeignKey(NaiveWallet, models.PROTECT, related_name="entries")
    amount = models.DecimalField(max_digits=20, decimal_places=2)
    balance_after = models.DecimalField(max_digits=20, decimal_places=2)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        app_label = "naive"
