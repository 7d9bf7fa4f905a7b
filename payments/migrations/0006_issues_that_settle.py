"""Issues that are resolved by what came of them, and by nobody."""

from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('payments', '0005_claimed_intent_keys'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='paymentissue',
            name='resolved_issue_says_by_whom_and_how',
        ),
        migrations.AddConstraint(
            model_name='paymentissue',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('resolution', ''), ('resolved_at', None), ('resolved_by', None)), models.Q(('resolved_at__isnull', False), models.Q(('resolution', ''), _negated=True)), _connector='OR'), name='resolved_issue_says_how'),
        ),
    ]
