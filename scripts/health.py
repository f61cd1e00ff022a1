"""Whether the servers answer, and what they serve."""

import http.client
import ssl
from contextlib import closing
from urllib.parse import SplitResult, urlsplit

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


def frontend_answers(url: str, path: str) -> bool:
    """Whether the frontend at the URL, which is on this machine, answers the path of a probe with 200."""
    with closing(_connection(urlsplit(url))) as connection:
        try:
            connection.request("GET", path)
            return connection.getresponse().status == READY
        except (OSError, http.client.HTTPException):
            return False


def _connection(url: SplitResult) -> http.client.HTTPConnection:
    host = url.hostname or ""
    if url.scheme == "http":
        return http.client.HTTPConnection(host, url.port, timeout=TIMEOUT_S)
    # The certificate is for the name that clients use, not for this machine's own address.
    unchecked = ssl.create_default_context()
    unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
    return http.client.HTTPSConnection(host, url.port, timeout=TIMEOUT_S, context=unchecked)
