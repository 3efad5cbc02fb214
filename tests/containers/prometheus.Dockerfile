# Prometheus as Debian has it, where its own image cannot be pulled: an older one, which reads the same files.
FROM python:3.13-slim
RUN apt-get update && apt-get install --yes --no-install-recommends prometheus && rm -rf /var/lib/apt/lists/* \
 && install -d -o nobody -g nogroup /prometheus
USER nobody
ENTRYPOINT ["prometheus"]
