"""Webhooks out: endpoints, kept events, deliveries and their tries."""

import django.db.models.deletion
import fintech_core.fields
from django.conf import settings
from django.db import migrations, models

from fintech_core.database import run_sql_file


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='UntoldAnnouncement',
            fields=[
                ('id', models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ('type', models.CharField(max_length=40)),
                ('owner_id', models.UUIDField(null=True)),
                ('subject_id', models.UUIDField(null=True)),
                ('sequence', models.IntegerField(null=True)),
                ('data', models.JSONField(null=True)),
                ('created_at', models.DateTimeField(null=True)),
                ('trouble', models.CharField(max_length=200)),
                ('noted_at', models.DateTimeField(auto_now_add=True)),
            ],
        ),
        migrations.CreateModel(
            name='Endpoint',
            fields=[
                ('id', models.UUIDField(default=fintech_core.fields.uuid7, editable=False, primary_key=True, serialize=False)),
                ('url', models.CharField(max_length=2048)),
                ('description', models.CharField(blank=True, max_length=500)),
                ('events', models.JSONField()),
                ('status', models.CharField(choices=[('enabled', 'Enabled'), ('disabled', 'Disabled'), ('deleted', 'Deleted')], default='enabled', max_length=8)),
                ('reason', models.CharField(blank=True, choices=[('by_owner', 'its owner switched it off'), ('gone', 'it answered 410'), ('failing', 'for days no try succeeded')], max_length=8)),
                ('secret', models.TextField()),
                ('previous_secret', models.TextField(blank=True)),
                ('previous_expires_at', models.DateTimeField(null=True)),
                ('failing_since', models.DateTimeField(null=True)),
                ('failures', models.PositiveIntegerField(default=0)),
                ('is_slow', models.BooleanField(default=False)),
                ('has_succeeded', models.BooleanField(default=False)),
                ('resume_at', models.DateTimeField(null=True)),
                ('due_at', models.DateTimeField(null=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('owner', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='webhook_endpoints', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'permissions': [('manage_platform_endpoints', "Can manage endpoints that hear of everybody's events")],
            },
        ),
        migrations.CreateModel(
            name='WebhookEvent',
            fields=[
                ('id', models.UUIDField(default=fintech_core.fields.uuid7, editable=False, primary_key=True, serialize=False)),
                ('announcement_id', models.UUIDField()),
                ('owner_id', models.UUIDField(null=True)),
                ('type', models.CharField(max_length=40)),
                ('subject_id', models.UUIDField()),
                ('sequence', models.IntegerField()),
                ('body', models.TextField()),
                ('occurred_at', models.DateTimeField()),
                ('created_at', models.DateTimeField()),
            ],
            options={
                'indexes': [models.Index(fields=['created_at'], name='event_by_age')],
                'constraints': [models.UniqueConstraint(fields=('announcement_id', 'owner_id'), name='an_announcement_is_one_event_per_owner', nulls_distinct=False)],
            },
        ),
        migrations.CreateModel(
            name='Delivery',
            fields=[
                ('id', models.UUIDField(default=fintech_core.fields.uuid7, editable=False, primary_key=True, serialize=False)),
                ('owner_id', models.UUIDField(null=True)),
                ('event_type', models.CharField(max_length=40)),
                ('status', models.CharField(choices=[('pending', 'Pending'), ('delivered', 'Delivered'), ('dead', 'Dead'), ('parked', 'Parked')], default='pending', max_length=9)),
                ('tries', models.PositiveIntegerField(default=0)),
                ('next_attempt_at', models.DateTimeField(null=True)),
                ('handed_until', models.DateTimeField(null=True)),
                ('claim', models.UUIDField(null=True)),
                ('delivered_at', models.DateTimeField(null=True)),
                ('created_at', models.DateTimeField()),
                ('endpoint', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='deliveries', to='webhooks.endpoint')),
                ('event', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='deliveries', to='webhooks.webhookevent')),
            ],
            options={
                'verbose_name_plural': 'deliveries',
            },
        ),
        migrations.CreateModel(
            name='DeliveryAttempt',
            fields=[
                ('id', models.UUIDField(default=fintech_core.fields.uuid7, editable=False, primary_key=True, serialize=False)),
                ('status_code', models.PositiveSmallIntegerField(null=True)),
                ('error', models.CharField(blank=True, max_length=20)),
                ('started_at', models.DateTimeField()),
                ('duration_ms', models.PositiveIntegerField()),
                ('delivery', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='attempts', to='webhooks.delivery')),
            ],
            options={
                'indexes': [models.Index(fields=['delivery', 'id'], name='attempt_by_delivery')],
            },
        ),
        migrations.AddIndex(
            model_name='endpoint',
            index=models.Index(fields=['owner', 'id'], name='endpoint_by_owner'),
        ),
        migrations.AddIndex(
            model_name='endpoint',
            index=models.Index(condition=models.Q(('due_at__isnull', False), ('status', 'enabled')), fields=['due_at'], name='endpoint_that_is_due'),
        ),
        migrations.AddIndex(
            model_name='endpoint',
            index=models.Index(condition=models.Q(('owner__isnull', True), ('status', 'enabled')), fields=['id'], name='platform_endpoint'),
        ),
        migrations.AddConstraint(
            model_name='endpoint',
            constraint=models.CheckConstraint(condition=models.Q(('status__in', ['enabled', 'disabled', 'deleted'])), name='endpoint_status_is_known'),
        ),
        migrations.AddConstraint(
            model_name='endpoint',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('failing_since__isnull', True), ('failures', 0)), models.Q(('failing_since__isnull', False), ('failures__gt', 0)), _connector='OR'), name='failing_exactly_with_failures'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(fields=['owner_id', 'id'], name='delivery_by_owner'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(fields=['endpoint', 'created_at', 'id'], name='delivery_by_endpoint'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(condition=models.Q(('status', 'pending')), fields=['endpoint', 'next_attempt_at', 'id'], name='delivery_that_is_pending'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(condition=models.Q(('handed_until__isnull', False)), fields=['endpoint', 'handed_until'], name='delivery_that_is_handed_out'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(condition=models.Q(('status', 'dead')), fields=['owner_id', 'id'], name='delivery_that_is_dead'),
        ),
        migrations.AddConstraint(
            model_name='delivery',
            constraint=models.UniqueConstraint(fields=('event', 'endpoint'), name='an_event_is_delivered_once_per_endpoint'),
        ),
        migrations.AddConstraint(
            model_name='delivery',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('next_attempt_at__isnull', False), ('status', 'pending')), models.Q(('claim__isnull', True), ('handed_until__isnull', True), ('next_attempt_at__isnull', True), ('status__in', ['delivered', 'dead', 'parked'])), _connector='OR'), name='pending_exactly_with_a_next_attempt'),
        ),
        run_sql_file("webhooks", "hand_out"),
    ]
