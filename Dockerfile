FROM python:3.11-slim

# No code is found in the service's home, nor may it write to /app: what it plants there would be run by the
# next start, with the database owner's password.
ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PYTHONNOUSERSITE=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1

RUN groupadd --system --gid 10001 fintech \
 && useradd --system --uid 10001 --gid fintech --home-dir /home/fintech --create-home fintech \
 && install -d -o fintech -g fintech /data

WORKDIR /app

# The requirements alone first: they change less often than the code.
COPY requirements.txt ./
RUN python -m pip install --require-hashes -r requirements.txt

COPY . .
RUN chmod 755 entrypoint.sh

USER fintech
ENV FINTECH_DATA=/data
VOLUME /data
EXPOSE 8000

ENTRYPOINT ["./entrypoint.sh"]
CMD ["web"]
