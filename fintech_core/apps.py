"""App configuration of the project's own package: database roles, and nothing with a table."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class FintechCoreConfig(AppConfig):
    name = "fintech_core"
    verbose_name = "Fintech Core"

    def ready(self) -> None:
        from fintech_core import checks  # noqa: F401 - registers them
        from fintech_core.database import grant_application_role

        post_migrate.connect(grant_application_role, sender=self)
