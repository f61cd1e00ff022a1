"""Whether the servers answer, and what they serve."""

import http.client
from contextlib import closing

import tritonclient.grpc as triton

ENSEMBLE = "ensemble"
TIMEOUT_S = 2.0
READY = 200
# gRPC's own first pause between two attempts to connect is a second.
RECONNECT = [
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 200),
]


class TritonHealth:
    """Asks the tritonserver at `address` (host:port) over gRPC."""

    def __init__(self, address: str) -> None:
        self._client = triton.InferenceServerClient(address, channel_args=RECONNECT)

    def is_ready(self) -> bool:
        """Whether the server and the ensemble are ready."""
        try:
            return bool(
                self._client.is_server_ready(client_timeout=TIMEOUT_S)
                and self._client.is_model_ready(ENSEMBLE, client_timeout=TIMEOUT_S)
            )
        except triton.InferenceServerException:
            return False

    def served_model_name(self) -> str:
        """The name that clients put into "model"."""
        config = self._client.get_model_config(ENSEMBLE, as_json=True)["config"]
        return str(config["parameters"]["served_model_name"]["string_value"])


def frontend_is_ready(host: str, port: int) -> bool:
    """Whether the frontend says on /health/ready that it can answer."""
    with closing(http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)) as connection:
        try:
            connection.request("GET", "/health/ready")
            return connection.getresponse().status == READY
        except (OSError, http.client.HTTPException):
            return False
