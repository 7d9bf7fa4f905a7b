"""Settlement reports of providers, beside what we know."""

import django.db.models.deletion
import fintech_core.fields
from django.conf import settings
from django.db import migrations, models

from fintech_core.database import run_sql_file


class Migration(migrations.Migration):

    dependencies = [
        ('payments', '0002_inbox'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='ReconciliationRun',
            fields=[
                ('id', models.UUIDField(default=fintech_core.fields.uuid7, editable=False, primary_key=True, serialize=False)),
                ('provider', models.CharField(max_length=40)),
                ('first_on', models.DateField()),
                ('last_on', models.DateField()),
                ('source', models.CharField(choices=[('provider', 'Provider'), ('file', 'File')], max_length=8)),
                ('file_name', models.CharField(blank=True, max_length=255)),
                ('digest', models.BinaryField(max_length=32)),
                ('line_count', models.PositiveIntegerField()),
                ('matched_count', models.PositiveIntegerField()),
                ('missing_count', models.PositiveIntegerField()),
                ('extra_count', models.PositiveIntegerField()),
                ('differing_count', models.PositiveIntegerField()),
                ('totals', models.JSONField()),
                ('is_clean', models.BooleanField()),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('supersedes', models.OneToOneField(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='superseded_by', to='payments.reconciliationrun')),
            ],
        ),
        migrations.CreateModel(
            name='ReconciliationRow',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('outcome', models.CharField(choices=[('matched', 'Matched'), ('missing', 'Missing'), ('extra', 'Extra'), ('differing', 'Differing')], max_length=9)),
                ('reason', models.CharField(blank=True, max_length=9)),
                ('kind', models.CharField(max_length=7)),
                ('reference', models.CharField(blank=True, max_length=255)),
                ('subject_id', models.UUIDField(null=True)),
                ('line_count', models.PositiveIntegerField(default=0)),
                ('reported_amount', fintech_core.fields.AmountField(null=True)),
                ('reported_fee', fintech_core.fields.AmountField(null=True)),
                ('reported_currency', models.CharField(blank=True, max_length=3)),
                ('settled_at', models.DateTimeField(null=True)),
                ('own_amount', fintech_core.fields.AmountField(null=True)),
                ('own_currency', models.CharField(blank=True, max_length=3)),
                ('own_status', models.CharField(blank=True, max_length=24)),
                ('posted_at', models.DateTimeField(null=True)),
                ('explained_at', models.DateTimeField(null=True)),
                ('explanation', models.CharField(blank=True, max_length=500)),
                ('explained_by', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('run', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='rows', to='payments.reconciliationrun')),
            ],
            options={
                'permissions': [('explain_row', 'Can explain rows of reconciliations')],
            },
        ),
        migrations.AddIndex(
            model_name='reconciliationrun',
            index=models.Index(fields=['provider', 'first_on', 'last_on'], name='reconciliation_by_days'),
        ),
        migrations.AddConstraint(
            model_name='reconciliationrun',
            constraint=models.CheckConstraint(condition=models.Q(('first_on__lte', models.F('last_on'))), name='reconciled_days_are_in_order'),
        ),
        migrations.AddIndex(
            model_name='reconciliationrow',
            index=models.Index(fields=['run', 'outcome', 'id'], name='rows_by_outcome'),
        ),
        migrations.AddIndex(
            model_name='reconciliationrow',
            index=models.Index(condition=models.Q(('subject_id__isnull', False)), fields=['subject_id', 'run'], name='rows_about_a_subject'),
        ),
        migrations.AddConstraint(
            model_name='reconciliationrow',
            constraint=models.CheckConstraint(condition=models.Q(('outcome__in', ['matched', 'missing', 'extra', 'differing'])), name='row_outcome_is_known'),
        ),
        migrations.AddConstraint(
            model_name='reconciliationrow',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('explained_at', None), ('explained_by', None), ('explanation', '')), models.Q(('explained_at__isnull', False), ('explained_by__isnull', False), models.Q(('explanation', ''), _negated=True)), _connector='OR'), name='explained_row_says_by_whom_and_why'),
        ),
        run_sql_file('payments', 'reconciliation'),
    ]
