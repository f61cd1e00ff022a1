"""The methods of Triton's GRPCInferenceService that the frontend calls (Triton's grpc_service.proto)."""

from tritonclient.grpc import service_pb2

from frontend.grpc_client.channel import Method

_SERVICE = "/inference.GRPCInferenceService"

MODEL_READY = Method(f"{_SERVICE}/ModelReady", service_pb2.ModelReadyResponse)
MODEL_CONFIG = Method(f"{_SERVICE}/ModelConfig", service_pb2.ModelConfigResponse)
MODEL_INFER = Method(f"{_SERVICE}/ModelInfer", service_pb2.ModelInferResponse)
MODEL_STREAM_INFER = Method(f"{_SERVICE}/ModelStreamInfer", service_pb2.ModelStreamInferResponse)
