"""Whether this container's Triton has loaded its models, for Docker; Kubernetes asks Triton by itself."""

import sys

import tritonclient.grpc as triton

_TIMEOUT_S = 4.0


def is_ready(address: str = "127.0.0.1:8001") -> bool:
    try:
        return bool(triton.InferenceServerClient(address).is_server_ready(client_timeout=_TIMEOUT_S))
    except triton.InferenceServerException:
        return False


if __name__ == "__main__":
    sys.exit(not is_ready())
