#!/bin/sh
# Starts one of the service's processes, or whatever else it is given: web, worker, beat, relay, simulator, or a
# command.
set -eu

case "${1:-web}" in
  web)
    python manage.py migrate --no-input
    # Only migrations may act as the owner of the database.
    unset DATABASE_OWNER_URL
    exec python -m granian fintech_core.rsgi:application \
      --interface rsgi --host 0.0.0.0 --port "${PORT:-8000}" --http 1 --no-ws --loop uvloop \
      --workers "${WEB_WORKERS:-2}" --backpressure 1024 \
      --respawn-failed-workers --respawn-interval 0.5 --workers-kill-timeout 10 \
      --http1-header-read-timeout 10000 --log-level warning
    ;;
  worker)
    exec python -m celery -A fintech_core worker \
      -Q "${CELERY_QUEUES:-money,upkeep}" -P "${CELERY_POOL:-prefork}" -c "${CELERY_CONCURRENCY:-2}" \
      --without-gossip --without-mingle -l INFO
    ;;
  beat)
    exec python -m celery -A fintech_core beat -l INFO --schedule /data/beat-schedule --pidfile ""
    ;;
  relay)
    exec python manage.py relay
    ;;
  simulator)
    exec python -m simulator
    ;;
  *)
    exec "$@"
    ;;
esac
