"""The launcher: real PostgreSQL and Redis servers without Docker, and everything that runs on them.

``python -m fintech_core.embedded run`` serves the whole system from one data folder; ``test``,
``check``, ``manage`` and ``with-servers`` run one command against such servers. Nothing in here
imports Django: the launcher must be able to say what is wrong when the project itself cannot start.
"""
