"""Money that enters or leaves through a provider."""

import django.db.models.deletion
import django.utils.timezone
import fintech_core.fields
from decimal import Decimal
from django.conf import settings
from django.db import migrations, models
from fintech_core.database import run_sql_file


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('transactions', '0008_schedules'),
        ('wallet', '0002_owners_pots_and_holds'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='PaymentIntent',
            fields=[
                ('id', models.UUIDField(default=fintech_core.fields.uuid7, editable=False, primary_key=True, serialize=False)),
                ('provider', models.CharField(max_length=40)),
                ('provider_reference', models.CharField(blank=True, max_length=255)),
                ('amount', fintech_core.fields.AmountField()),
                ('currency', models.CharField(max_length=3)),
                ('failure_code', models.CharField(blank=True, max_length=100)),
                ('next_attempt_at', models.DateTimeField(null=True)),
                ('attempts', models.PositiveIntegerField(default=0)),
                ('announced', models.PositiveIntegerField(default=0)),
                ('owed', models.CharField(blank=True, choices=[('credit', 'Credit'), ('return', 'Return')], max_length=8)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('status', models.CharField(choices=[('requires_confirmation', 'Requires Confirmation'), ('processing', 'Processing'), ('succeeded', 'Succeeded'), ('failed', 'Failed'), ('canceled', 'Canceled')], default='requires_confirmation', max_length=24)),
                ('client_secret', models.CharField(blank=True, max_length=500)),
                ('checkout_url', models.CharField(blank=True, max_length=2000)),
                ('idempotency_key', models.CharField(max_length=255)),
                ('fingerprint', models.BinaryField(max_length=32)),
                ('refunded_amount', fintech_core.fields.AmountField(default=Decimal('0'))),
                ('confirmed_at', models.DateTimeField(null=True)),
                ('request_id', models.CharField(blank=True, max_length=128)),
                ('client_address', models.GenericIPAddressField(null=True)),
                ('transaction', models.OneToOneField(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='payment_intent', to='transactions.transaction')),
                ('user', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='payment_intents', to=settings.AUTH_USER_MODEL)),
                ('wallet', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='payment_intents', to='wallet.wallet')),
            ],
            options={
                'permissions': [('ask_provider', 'Can have providers asked again')],
            },
        ),
        migrations.CreateModel(
            name='Payout',
            fields=[
                ('id', models.UUIDField(default=fintech_core.fields.uuid7, editable=False, primary_key=True, serialize=False)),
                ('provider', models.CharField(max_length=40)),
                ('provider_reference', models.CharField(blank=True, max_length=255)),
                ('amount', fintech_core.fields.AmountField()),
                ('currency', models.CharField(max_length=3)),
                ('failure_code', models.CharField(blank=True, max_length=100)),
                ('next_attempt_at', models.DateTimeField(null=True)),
                ('attempts', models.PositiveIntegerField(default=0)),
                ('announced', models.PositiveIntegerField(default=0)),
                ('owed', models.CharField(blank=True, choices=[('credit', 'Credit'), ('return', 'Return')], max_length=8)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('destination', models.CharField(max_length=255)),
                ('status', models.CharField(choices=[('pending', 'Pending'), ('in_transit', 'In Transit'), ('paid', 'Paid'), ('failed', 'Failed'), ('canceled', 'Canceled')], default='pending', max_length=16)),
                ('return_transaction', models.OneToOneField(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='returned_payout', to='transactions.transaction')),
                ('transaction', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='payout', to='transactions.transaction')),
                ('user', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='payouts', to=settings.AUTH_USER_MODEL)),
                ('wallet', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='payouts', to='wallet.wallet')),
            ],
        ),
        migrations.CreateModel(
            name='Refund',
            fields=[
                ('id', models.UUIDField(default=fintech_core.fields.uuid7, editable=False, primary_key=True, serialize=False)),
                ('provider', models.CharField(max_length=40)),
                ('provider_reference', models.CharField(blank=True, max_length=255)),
                ('amount', fintech_core.fields.AmountField()),
                ('currency', models.CharField(max_length=3)),
                ('failure_code', models.CharField(blank=True, max_length=100)),
                ('next_attempt_at', models.DateTimeField(null=True)),
                ('attempts', models.PositiveIntegerField(default=0)),
                ('announced', models.PositiveIntegerField(default=0)),
                ('owed', models.CharField(blank=True, choices=[('credit', 'Credit'), ('return', 'Return')], max_length=8)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('status', models.CharField(choices=[('pending', 'Pending'), ('succeeded', 'Succeeded'), ('failed', 'Failed')], default='pending', max_length=16)),
                ('intent', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='refunds', to='payments.paymentintent')),
                ('return_transaction', models.OneToOneField(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='failed_payment_refund', to='transactions.transaction')),
                ('transaction', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='payment_refund', to='transactions.transaction')),
            ],
            options={
                'permissions': [('refund_payment', 'Can refund payments of others')],
            },
        ),
        migrations.AddIndex(
            model_name='paymentintent',
            index=models.Index(fields=['user', 'id'], name='intent_by_user'),
        ),
        migrations.AddIndex(
            model_name='paymentintent',
            index=models.Index(condition=models.Q(('next_attempt_at__isnull', False)), fields=['next_attempt_at'], name='intents_that_are_due'),
        ),
        migrations.AddConstraint(
            model_name='paymentintent',
            constraint=models.UniqueConstraint(fields=('user', 'idempotency_key'), name='intent_key_is_unique_per_user'),
        ),
        migrations.AddConstraint(
            model_name='paymentintent',
            constraint=models.UniqueConstraint(condition=models.Q(('provider_reference', ''), _negated=True), fields=('provider', 'provider_reference'), name='intent_of_a_provider_is_known_once'),
        ),
        migrations.AddConstraint(
            model_name='paymentintent',
            constraint=models.CheckConstraint(condition=models.Q(('status__in', ['requires_confirmation', 'processing', 'succeeded', 'failed', 'canceled'])), name='intent_status_is_known'),
        ),
        migrations.AddConstraint(
            model_name='paymentintent',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('status', 'succeeded'), ('transaction__isnull', False)), models.Q(models.Q(('status', 'succeeded'), _negated=True), ('transaction__isnull', True)), _connector='OR'), name='intent_is_credited_exactly_when_it_succeeded'),
        ),
        migrations.AddConstraint(
            model_name='paymentintent',
            constraint=models.CheckConstraint(condition=models.Q(('amount__gt', 0), ('refunded_amount__gte', 0), ('refunded_amount__lte', models.F('amount'))), name='no_more_is_refunded_than_was_paid'),
        ),
        migrations.AddConstraint(
            model_name='paymentintent',
            constraint=models.CheckConstraint(condition=models.Q(('refunded_amount', 0), ('status', 'succeeded'), _connector='OR'), name='only_what_was_paid_is_refunded'),
        ),
        migrations.AddIndex(
            model_name='payout',
            index=models.Index(fields=['user', 'id'], name='payout_by_user'),
        ),
        migrations.AddIndex(
            model_name='payout',
            index=models.Index(condition=models.Q(('next_attempt_at__isnull', False)), fields=['next_attempt_at'], name='payouts_that_are_due'),
        ),
        migrations.AddConstraint(
            model_name='payout',
            constraint=models.UniqueConstraint(condition=models.Q(('provider_reference', ''), _negated=True), fields=('provider', 'provider_reference'), name='payout_of_a_provider_is_known_once'),
        ),
        migrations.AddConstraint(
            model_name='payout',
            constraint=models.CheckConstraint(condition=models.Q(('status__in', ['pending', 'in_transit', 'paid', 'failed', 'canceled'])), name='payout_status_is_known'),
        ),
        migrations.AddConstraint(
            model_name='payout',
            constraint=models.CheckConstraint(condition=models.Q(('amount__gt', 0)), name='payout_has_an_amount'),
        ),
        migrations.AddIndex(
            model_name='refund',
            index=models.Index(fields=['intent', 'id'], name='refund_by_intent'),
        ),
        migrations.AddIndex(
            model_name='refund',
            index=models.Index(condition=models.Q(('next_attempt_at__isnull', False)), fields=['next_attempt_at'], name='refunds_that_are_due'),
        ),
        migrations.AddConstraint(
            model_name='refund',
            constraint=models.UniqueConstraint(condition=models.Q(('provider_reference', ''), _negated=True), fields=('provider', 'provider_reference'), name='refund_of_a_provider_is_known_once'),
        ),
        migrations.AddConstraint(
            model_name='refund',
            constraint=models.CheckConstraint(condition=models.Q(('status__in', ['pending', 'succeeded', 'failed'])), name='refund_status_is_known'),
        ),
        migrations.AddConstraint(
            model_name='refund',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('return_transaction__isnull', False), ('status', 'failed')), models.Q(models.Q(('status', 'failed'), _negated=True), ('return_transaction__isnull', True)), _connector='OR'), name='refund_is_returned_exactly_when_it_failed'),
        ),
        migrations.AddConstraint(
            model_name='refund',
            constraint=models.CheckConstraint(condition=models.Q(('amount__gt', 0)), name='refund_has_an_amount'),
        ),
        run_sql_file('payments', 'movements'),
        run_sql_file('payments', 'payment_violations'),
    ]
