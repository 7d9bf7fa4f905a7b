"""Transfers that happen later, or again and again."""

import django.db.models.deletion
import django.db.models.functions.datetime
import fintech_core.fields
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('transactions', '0007_history'),
        ('wallet', '0002_owners_pots_and_holds'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Schedule',
            fields=[
                ('id', models.UUIDField(default=fintech_core.fields.uuid7, editable=False, primary_key=True, serialize=False)),
                ('idempotency_key', models.CharField(max_length=255)),
                ('fingerprint', models.BinaryField(max_length=32)),
                ('to_user_email', models.CharField(blank=True, max_length=254)),
                ('to_phone', models.CharField(blank=True, max_length=32)),
                ('amount', fintech_core.fields.AmountField()),
                ('currency', models.CharField(max_length=3)),
                ('description', models.CharField(blank=True, max_length=500)),
                ('metadata', models.JSONField(default=dict)),
                ('start_at', models.DateTimeField()),
                ('rrule', models.CharField(blank=True, max_length=200)),
                ('timezone', models.CharField(max_length=64)),
                ('first_run_at', models.DateTimeField()),
                ('request_id', models.CharField(blank=True, max_length=128)),
                ('client_address', models.GenericIPAddressField(null=True)),
                ('created_at', models.DateTimeField()),
                ('status', models.CharField(choices=[('active', 'Active'), ('done', 'Done'), ('canceled', 'Canceled')], default='active', max_length=8)),
                ('next_run_at', models.DateTimeField(null=True)),
                ('attempt_at', models.DateTimeField(null=True)),
                ('troubles', models.PositiveIntegerField(default=0)),
                ('canceled_at', models.DateTimeField(null=True)),
                ('from_wallet', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='wallet.wallet')),
                ('owner', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='schedules', to=settings.AUTH_USER_MODEL)),
                ('to_wallet', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='wallet.wallet')),
            ],
        ),
        migrations.CreateModel(
            name='ScheduleRun',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('occurrence', models.DateField()),
                ('due_at', models.DateTimeField()),
                ('status', models.CharField(choices=[('posted', 'Posted'), ('declined', 'Declined'), ('failed', 'Failed')], max_length=8)),
                ('code', models.CharField(blank=True, max_length=40)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('schedule', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='runs', to='transactions.schedule')),
                ('transaction', models.OneToOneField(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='schedule_run', to='transactions.transaction')),
            ],
        ),
        migrations.AddIndex(
            model_name='schedule',
            index=models.Index(fields=['owner', 'id'], name='schedule_by_owner'),
        ),
        migrations.AddIndex(
            model_name='schedule',
            index=models.Index(condition=models.Q(('status', 'active')), fields=['attempt_at', 'id'], name='schedule_that_is_due'),
        ),
        migrations.AddConstraint(
            model_name='schedule',
            constraint=models.UniqueConstraint(fields=('owner', 'idempotency_key'), name='schedule_key_is_unique_per_owner'),
        ),
        migrations.AddConstraint(
            model_name='schedule',
            constraint=models.CheckConstraint(condition=models.Q(('amount__gt', 0)), name='schedule_moves_an_amount'),
        ),
        migrations.AddConstraint(
            model_name='schedule',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('attempt_at__isnull', False), ('canceled_at__isnull', True), ('next_run_at__isnull', False), ('status', 'active')), models.Q(('attempt_at__isnull', True), ('canceled_at__isnull', True), ('next_run_at__isnull', True), ('status', 'done')), models.Q(('attempt_at__isnull', True), ('canceled_at__isnull', False), ('next_run_at__isnull', True), ('status', 'canceled')), _connector='OR'), name='only_an_active_schedule_has_a_next_run'),
        ),
        migrations.AddConstraint(
            model_name='schedule',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('to_phone', ''), ('to_wallet__isnull', True), models.Q(('to_user_email', ''), _negated=True)), models.Q(('to_user_email', ''), ('to_wallet__isnull', True), models.Q(('to_phone', ''), _negated=True)), models.Q(('to_phone', ''), ('to_user_email', ''), ('to_wallet__isnull', False)), _connector='OR'), name='schedule_names_one_recipient'),
        ),
        migrations.AddConstraint(
            model_name='schedulerun',
            constraint=models.UniqueConstraint(fields=('schedule', 'occurrence'), name='schedule_runs_once_per_occurrence'),
        ),
        migrations.AddConstraint(
            model_name='schedulerun',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('code', ''), ('status', 'posted'), ('transaction__isnull', False)), models.Q(('status', 'declined'), ('transaction__isnull', False), models.Q(('code', ''), _negated=True)), models.Q(('status', 'failed'), ('transaction__isnull', True), models.Q(('code', ''), _negated=True)), _connector='OR'), name='run_tells_what_became_of_it'),
        ),
    ]
