"""The project: money, errors and base classes at the bottom; settings and wiring around it all."""

from fintech_core.celery import app as celery_app

__all__ = ["celery_app"]
__version__ = "0.1.0"
