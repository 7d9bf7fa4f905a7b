#!/usr/bin/env python
"""Django's command line. Commands that change the schema connect as the database's owner."""

import os
import sys

SCHEMA_COMMANDS = {"migrate", "makemigrations", "sqlmigrate", "optimizemigration"}


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fintech_core.settings")
    if len(sys.argv) > 1 and sys.argv[1] in SCHEMA_COMMANDS:
        os.environ.setdefault("DATABASE_CONNECT_AS", "owner")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
