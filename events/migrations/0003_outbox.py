"""The outbox: what happened and has not been handed on yet."""

import fintech_core.fields
from django.db import migrations, models

from fintech_core.database import run_sql_file


class Migration(migrations.Migration):

    dependencies = [
        ('events', '0002_audit_trail'),
    ]

    operations = [
        migrations.CreateModel(
            name='OutboxEvent',
            fields=[
                ('id', models.UUIDField(default=fintech_core.fields.uuid7, editable=False, primary_key=True, serialize=False)),
                ('type', models.CharField(max_length=40)),
                ('owner_id', models.UUIDField(null=True)),
                ('subject_id', models.UUIDField(null=True)),
                ('sequence', models.IntegerField(null=True)),
                ('data', models.JSONField(null=True)),
                ('created_at', models.DateTimeField(null=True)),
            ],
        ),
        run_sql_file("events", "outbox"),
    ]
