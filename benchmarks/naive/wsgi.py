"""The naive transfer behind Django REST framework, as tutorials serve it; for comparison alone.

``benchmarks.candidates.http`` serves it.
"""

import os

import dj_database_url
from django.conf import settings
from django.core.wsgi import get_wsgi_application

settings.configure(
    DATABASES={"default": dj_database_url.parse(os.environ["DATABASE_URL"], conn_max_age=None)},
    INSTALLED_APPS=["rest_framework", "benchmarks.naive"],
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    ROOT_URLCONF="benchmarks.naive.views",
    ALLOWED_HOSTS=["127.0.0.1"],
    REST_FRAMEWORK={
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
        "UNAUTHENTICATED_USER": None,
    },
    USE_TZ=True,
)
application = get_wsgi_application()
