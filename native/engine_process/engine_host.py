"""Runs a model's model.py; tritonserver's end of the socket that is standard input is engine.c."""

import faulthandler
import importlib
import os
import signal
import socket
import sys
import threading
import time
import traceback

import triton_python_backend_utils as pb_utils
from engine_socket import CANCELLED, REQUEST, EngineSocket, FrameReader

# Less than tritonserver gives it (engine.c), and for one that was left alone.
CLOSING_TIME_S = 8


class EngineHost:
    """Serves the model that the first frame tells of."""

    def __init__(self, connection: EngineSocket) -> None:
        self._connection = connection
        self._frames = connection.frames()
        self._senders: dict[int, pb_utils.ResponseSender] = {}

    def load(self) -> None:
        """Raises what the model raises."""
        _, fields = next(self._frames)
        arguments = {
            "model_config": fields.text(),
            "model_repository": fields.text(),
            "model_name": fields.text(),
            "model_version": str(fields.number("Q")),
        }
        sys.path.insert(0, os.path.join(arguments["model_repository"], arguments["model_version"]))
        self._model = importlib.import_module("model").TritonPythonModel()
        self._model.initialize(arguments)

    def serve(self) -> None:
        """Returns when tritonserver wants no more or is gone, once the model is done."""
        self._connection.tell_ready()
        for kind, fields in self._frames:
            if kind == REQUEST:
                self._execute(fields)
            elif kind == CANCELLED and (sender := self._senders.get(fields.number("Q"))):
                sender.note_cancellation()
        # Also ends a process in which no thread can run Python any more.
        faulthandler.dump_traceback_later(CLOSING_TIME_S, exit=True)
        self._model.finalize()

    def _execute(self, fields: FrameReader) -> None:
        request = self._read_request(fields)
        try:
            self._model.execute([request])
        except Exception:
            # The request's outermost boundary: others go on.
            traceback.print_exc()
            failure = pb_utils.TritonError("The model failed to take this request.")
            request.get_response_sender().send(pb_utils.InferenceResponse(error=failure))

    def _read_request(self, fields: FrameReader) -> pb_utils.InferenceRequest:
        key, request_id = fields.number("Q"), fields.text()
        output_names = [fields.text() for _ in range(fields.number("B"))]
        inputs = [pb_utils.Tensor(*fields.tensor()) for _ in range(fields.number("B"))]
        sender = pb_utils.ResponseSender(self._connection, key, frozenset(output_names), self._senders.pop)
        self._senders[key] = sender
        return pb_utils.InferenceRequest(request_id, output_names, inputs, sender)


def _connect() -> EngineSocket:
    """Takes the socket out of standard input's place, and lets go of all else that tritonserver had open."""
    connection = socket.socket(fileno=os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.closerange(3, connection.fileno())
    os.closerange(connection.fileno() + 1, os.sysconf("SC_OPEN_MAX"))
    return EngineSocket(connection)


def _end_with(parent: int) -> None:
    """Also where the socket's end is not heard, because the model keeps the interpreter busy."""
    while os.getppid() == parent:
        time.sleep(1)
    time.sleep(CLOSING_TIME_S)
    os._exit(1)


def main() -> int:
    # A Ctrl-C reaches all processes of a terminal; this one ends with its socket.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    connection = _connect()
    pb_utils.MetricFamily.connection = connection
    host = EngineHost(connection)
    try:
        host.load()
    except pb_utils.TritonModelException as error:
        connection.tell_failure(str(error))
        return 1
    except Exception as error:
        traceback.print_exc()
        connection.tell_failure(f"{type(error).__name__}: {error}")
        return 1
    host.serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
