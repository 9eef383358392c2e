# The sidecar: scenarios are mounted at /scenarios; without a mount, or while it is empty, the built-in library is served.
# Where they are, the port and the rest stand in variables, so that flags (`docker run IMAGE --port 9000`) only add to it.
ARG PYTHON=3.13
FROM python:${PYTHON}-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY docs docs
COPY mock_server mock_server
COPY scenarios scenarios
RUN python3 -m venv /opt/mock-server \
 && /opt/mock-server/bin/pip install --no-cache-dir --disable-pip-version-check '.[fast,tls]' \
 && /opt/mock-server/bin/python -m compileall -q /opt/mock-server/lib \
 && rm -rf /opt/mock-server/lib/python3*/site-packages/pip /opt/mock-server/lib/python3*/site-packages/pip-*

FROM python:${PYTHON}-slim
RUN groupadd --system --gid 10001 mock && useradd --system --uid 10001 --gid mock --no-create-home mock \
 && mkdir /scenarios
COPY --from=build /opt/mock-server /opt/mock-server
ENV PATH=/opt/mock-server/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    MOCK_SERVER_HOST=0.0.0.0 MOCK_SERVER_PORT=8787 \
    MOCK_SERVER_PATHS=/scenarios MOCK_SERVER_RELOAD=true MOCK_SERVER_LIBRARY_IF_EMPTY=true
USER 10001:10001
EXPOSE 8787
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s --start-interval=500ms --retries=3 CMD ["mock-server", "health"]
ENTRYPOINT ["mock-server"]
CMD ["serve"]
