"""What providers told us, and what a person must look at."""

import django.db.models.deletion
import fintech_core.fields
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('payments', '0001_movements'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='ProviderEvent',
            fields=[
                ('id', models.UUIDField(default=fintech_core.fields.uuid7, editable=False, primary_key=True, serialize=False)),
                ('provider', models.CharField(max_length=40)),
                ('event_id', models.CharField(max_length=255)),
                ('type', models.CharField(max_length=100)),
                ('body', models.BinaryField()),
                ('digest', models.BinaryField(max_length=32)),
                ('happened', models.JSONField(null=True)),
                ('status', models.CharField(choices=[('pending', 'Pending'), ('handled', 'Handled'), ('ignored', 'Ignored'), ('parked', 'Parked')], default='pending', max_length=16)),
                ('attempts', models.PositiveIntegerField(default=0)),
                ('failure', models.CharField(blank=True, max_length=100)),
                ('next_attempt_at', models.DateTimeField(null=True)),
                ('paused_until', models.DateTimeField(null=True)),
                ('created_at', models.DateTimeField()),
                ('received_at', models.DateTimeField()),
                ('finished_at', models.DateTimeField(null=True)),
            ],
            options={
                'permissions': [('retry_event', 'Can have a parked event tried again')],
                'indexes': [models.Index(condition=models.Q(('status', 'pending')), fields=['next_attempt_at'], name='provider_events_that_are_due'), models.Index(condition=models.Q(('status__in', ['handled', 'ignored'])), fields=['finished_at'], name='provider_events_to_be_pruned')],
                'constraints': [models.UniqueConstraint(fields=('provider', 'event_id'), name='provider_event_is_stored_once'), models.CheckConstraint(condition=models.Q(models.Q(('finished_at', None), ('next_attempt_at__isnull', False), ('status', 'pending')), models.Q(('finished_at__isnull', False), ('next_attempt_at', None), ('status__in', ['handled', 'ignored', 'parked'])), _connector='OR'), name='pending_provider_event_has_a_next_attempt')],
            },
        ),
        migrations.CreateModel(
            name='PaymentIssue',
            fields=[
                ('id', models.UUIDField(default=fintech_core.fields.uuid7, editable=False, primary_key=True, serialize=False)),
                ('kind', models.CharField(max_length=40)),
                ('provider', models.CharField(max_length=40)),
                ('subject_type', models.CharField(blank=True, max_length=40)),
                ('subject_id', models.UUIDField(blank=True, null=True)),
                ('reference', models.CharField(blank=True, max_length=255)),
                ('facts', models.JSONField(default=dict)),
                ('opened_at', models.DateTimeField(auto_now_add=True)),
                ('resolved_at', models.DateTimeField(blank=True, null=True)),
                ('resolution', models.CharField(blank=True, max_length=500)),
                ('resolved_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'permissions': [('resolve_issue', 'Can resolve issues of payments')],
                'constraints': [models.UniqueConstraint(condition=models.Q(('resolved_at', None)), fields=('kind', 'provider', 'reference', 'subject_type', 'subject_id'), name='one_open_issue_of_a_kind', nulls_distinct=False), models.CheckConstraint(condition=models.Q(models.Q(('resolution', ''), ('resolved_at', None), ('resolved_by', None)), models.Q(('resolved_at__isnull', False), ('resolved_by__isnull', False), models.Q(('resolution', ''), _negated=True)), _connector='OR'), name='resolved_issue_says_by_whom_and_how')],
            },
        ),
    ]
