# The frontend alone: docker build -f deploy/frontend.Dockerfile -t triton-llama-frontend .
FROM python:3.12.12-slim-bookworm AS packages
COPY deploy/frontend.txt /frontend.txt
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --no-deps --require-hashes -r /frontend.txt

FROM python:3.12.12-slim-bookworm
COPY --from=packages /opt/venv /opt/venv
COPY frontend /app/frontend
# A new volume takes its owner from here.
RUN install -d -o 10001 -g 10001 -m 700 /keys
WORKDIR /app
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 FRONTEND_HOST=0.0.0.0
# A number, so that Kubernetes can see that it is not root.
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s CMD ["python", "-c", \
    "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health/live', timeout=4)"]
CMD ["python", "-m", "frontend"]
