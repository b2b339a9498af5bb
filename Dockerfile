FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY requirements.lock pyproject.toml README.md ./
RUN python -m venv /opt/tagstream \
    && /opt/tagstream/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY api api
COPY cli cli
COPY models models
COPY scheduler scheduler
COPY worker worker
RUN /opt/tagstream/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --create-home tagstream \
    && install --directory --owner tagstream --mode 0700 /var/lib/tagstream
COPY --from=build /opt/tagstream /opt/tagstream
ENV PATH=/opt/tagstream/bin:$PATH PYTHONUNBUFFERED=1
USER tagstream
ENTRYPOINT ["tagstream"]
CMD ["--help"]
